// SPDX-License-Identifier: GPL-2.0-only
/* The probes' own code, timed on this machine's kernel with made-up requests. */
#include "../bpf/fake_cifs.bpf.c"

enum { IN_FLIGHT = 4 };

struct native {
	__u64 requests;
	__u64 message_id; /* of the first */
};

/* Not inlined, as the probes are not: together they would need too much stack. */
static __noinline int send(struct fake *it, __u64 message_id)
{
	it->requests[0].header.message_id = message_id;
	note_entry(false);
	return request_sent(it->server, 1, (void *)it->compound, 0);
}

static __noinline int answer(struct fake *it, __u64 message_id)
{
	it->response.header.message_id = it->mid.mid = message_id;
	response_received(it->server, &it->response);
	if (!bpf_core_field_exists(struct mid_q_entry___old, server))
		return request_ended(it->server, &it->mid, false);
	return request_ended(&it->mid, NULL, false);
}

static long one_request(__u32 index, void *message_id)
{
	struct fake *it = the_fake();

	if (!it)
		return 1;
	send(it, *(__u64 *)message_id + index);
	answer(it, *(__u64 *)message_id + index - IN_FLIGHT);
	return 0;
}

/* Returns nanoseconds; 2^31 are enough. */
SEC("syscall")
int native(struct native *ctx)
{
	struct fake *it = the_fake();
	__u64 message_id = ctx->message_id, started_ns;

	if (!it)
		return -ENOENT;
	server_of(it, 1);
	it->compound = it->rqst;
	it->requests[0].header.protocol_id = SMB2_PROTOCOL_ID;
	it->requests[0].header.command = 5;
	it->segments[0].iov_base = &it->requests[0];
	it->segments[0].iov_len = 64;
	it->rqst[0].rq_iov = &it->segments[0];
	it->response.header.protocol_id = SMB2_PROTOCOL_ID;
	it->response.header.credits = 1;
	it->mid.mid_state = MID_RESPONSE_RECEIVED;
	started_ns = bpf_ktime_get_ns();
	bpf_loop(ctx->requests, one_request, &message_id, 0);
	return bpf_ktime_get_ns() - started_ns;
}
