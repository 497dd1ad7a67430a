// SPDX-License-Identifier: GPL-2.0-only
/*
 * The probes' own code, fed with requests and responses made up by a test.
 *
 * Runs on a kernel without cifs: the structures lie in a map, and the BTF of
 * types.c stands in for the kernel's, so that CO-RE finds the fields in it.
 */
#include "../../bpf/smb.bpf.c"

enum { FAKE_REQUESTS = 4 };

struct fake {
	struct TCP_Server_Info server;
	struct smb_rqst rqst[FAKE_REQUESTS];
	struct kvec segments[FAKE_REQUESTS];
	struct smb2_request requests[FAKE_REQUESTS];
	struct smb2_header response;
	struct mid_q_entry mid;
	__u64 room[2]; /* for the layout of types.c, which has a field more */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fake);
} fake SEC(".maps");

struct fake_send {
	__u64 connection_id, requests, flags;
	struct {
		__u64 command, flags, message_id, tree_id, session_id, file_id, payload_bytes;
	} request[FAKE_REQUESTS];
};

struct fake_receive {
	__u64 connection_id, status, message_id, flags, credits;
};

static __always_inline struct fake *the_fake(__u64 connection_id)
{
	__u32 zero = 0;
	struct fake *it = bpf_map_lookup_elem(&fake, &zero);

	if (it) {
		it->server.conn_id = connection_id;
		it->server.pdu_size = 76;
		it->server.in_flight = 3;
		it->server.credits = 40;
	}
	return it;
}

SEC("syscall")
int fake_send(struct fake_send *ctx)
{
	struct fake *it = the_fake(ctx->connection_id);

	if (!it)
		return -ENOENT;
#pragma unroll
	for (int i = 0; i < FAKE_REQUESTS; i++) {
		struct smb2_request *wire = &it->requests[i];

		wire->header.protocol_id = SMB2_PROTOCOL_ID;
		wire->header.command = ctx->request[i].command;
		wire->header.flags = ctx->request[i].flags;
		wire->header.message_id = ctx->request[i].message_id;
		wire->tree_id = ctx->request[i].tree_id;
		wire->session_id = ctx->request[i].session_id;
		wire->length = ctx->request[i].payload_bytes;
		wire->at72 = wire->at80 = wire->at88 = ctx->request[i].file_id;
		it->segments[i].iov_base = wire;
		it->segments[i].iov_len = 64;
		it->rqst[i].rq_iov = &it->segments[i];
	}
	return request_sent(&it->server, ctx->requests, it->rqst, ctx->flags);
}

SEC("syscall")
int fake_receive(struct fake_receive *ctx)
{
	struct fake *it = the_fake(ctx->connection_id);

	if (!it)
		return -ENOENT;
	it->response.protocol_id = SMB2_PROTOCOL_ID;
	it->response.status = ctx->status;
	it->response.message_id = ctx->message_id;
	it->response.flags = ctx->flags;
	it->response.credits = ctx->credits;
	return response_received(&it->server, &it->response);
}

struct fake_end {
	__u64 connection_id, message_id, mid_state;
};

SEC("syscall")
int fake_end(struct fake_end *ctx)
{
	struct fake *it = the_fake(ctx->connection_id);

	if (!it)
		return -ENOENT;
	it->mid.mid = ctx->message_id;
	it->mid.mid_state = ctx->mid_state;
	if (!bpf_core_field_exists(struct mid_q_entry___old, server))
		return request_ended(&it->server, &it->mid, true);
	((struct mid_q_entry___old *)&it->mid)->server = &it->server;
	return request_ended(&it->mid, NULL, true);
}

SEC("syscall")
int fake_enter_sync(struct pt_regs *ctx)
{
	return entered(false);
}

SEC("syscall")
int fake_enter_async(struct pt_regs *ctx)
{
	return entered(true);
}

SEC("syscall")
int fake_wait_credits(struct pt_regs *ctx)
{
	return credits_awaited();
}

struct fake_lifecycle {
	__u64 session_id, connection_id, message_id, tree_id, command, status, xid, error;
};

SEC("syscall")
int fake_reconnect(struct fake_lifecycle *ctx)
{
	__u64 arguments[] = {ctx->message_id, ctx->connection_id, 0};

	return reconnected(arguments, AOD_CAUSE_RECONNECT);
}

SEC("syscall")
int fake_credit_timeout(struct fake_lifecycle *ctx)
{
	__u64 arguments[] = {ctx->message_id, ctx->connection_id, 0, 12, 1, 34};

	return credits_changed(arguments, AOD_CAUSE_CREDITS_TIMEOUT);
}

SEC("syscall")
int fake_session_expiry(struct fake_lifecycle *ctx)
{
	return session_expired(ctx->tree_id, ctx->session_id, ctx->command, ctx->message_id);
}

SEC("syscall")
int fake_tree_connect(struct fake_lifecycle *ctx)
{
	return tree_connected(ctx->tree_id, ctx->session_id, ctx->error);
}

SEC("syscall")
int fake_failure(struct fake_lifecycle *ctx)
{
	return operation_failed(ctx->xid, ctx->error);
}

SEC("syscall")
int fake_credit_wait(struct fake_lifecycle *ctx)
{
	struct fake *it = the_fake(ctx->connection_id);

	return it ? credit_wait_entered(&it->server) : -ENOENT;
}

SEC("syscall")
int fake_credits(struct fake_lifecycle *ctx)
{
	return credit_wait_left(ctx->error);
}

SEC("syscall")
int fake_command(struct fake_lifecycle *ctx)
{
	return command_entered(ctx->tree_id, ctx->session_id, ctx->command, ctx->message_id);
}

SEC("syscall")
int fake_status(struct fake_lifecycle *ctx)
{
	return command_left(ctx->session_id, ctx->message_id, ctx->status);
}
