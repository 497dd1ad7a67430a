// SPDX-License-Identifier: GPL-2.0-only
/*
 * The probes' own code, fed with requests and responses made up by a test.
 *
 * Runs on a kernel without cifs: the structures lie in a map, and the BTF of
 * types.c stands in for the kernel's, so that CO-RE finds the fields in it.
 */
#include "../../bpf/cifs.h"

static __always_inline struct task_struct *sender(void);
#define bpf_get_current_task() sender()
#include "../../bpf/smb.bpf.c"

enum { FAKE_REQUESTS = 4, FAKE_SERVERS = 2, FAKE_HOSTNAME = 0xBAD };

/* The size that types.c gives the struct smb_rqst. */
struct fake_rqst {
	struct kvec *rq_iov;
	__u64 others[5];
};

/* A response has the ids of its own: an AsyncId in place of the first two. */
struct fake_response {
	struct smb2_header header;
	__u32 process_id;
	__u32 tree_id;
	__u64 session_id;
};

struct fake {
	struct TCP_Server_Info servers[FAKE_SERVERS];
	struct fake_rqst rqst[FAKE_REQUESTS];
	/* Addresses that the verifier knows nothing of, as of a kprobe's arguments. */
	struct fake_rqst *volatile compound;
	struct TCP_Server_Info *volatile server;
	struct kvec segments[FAKE_REQUESTS];
	struct smb2_request requests[FAKE_REQUESTS];
	struct fake_response response;
	struct task_struct task;
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
	__u64 connection_id, requests, flags, task_flags;
	struct {
		__u64 command, flags, message_id, tree_id, session_id, file_id, payload_bytes;
	} request[FAKE_REQUESTS];
};

struct fake_receive {
	__u64 connection_id, status, message_id, flags, credits, tree_id, session_id;
};

static __always_inline struct fake *the_fake(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&fake, &zero);
}

static __always_inline struct task_struct *sender(void)
{
	struct fake *it = the_fake();

	return it ? &it->task : NULL;
}

static __always_inline struct TCP_Server_Info *server_of(struct fake *it, __u64 connection_id)
{
	struct TCP_Server_Info *server = &it->servers[connection_id % FAKE_SERVERS];

	if (bpf_core_field_exists(server->conn_id))
		server->conn_id = connection_id;
	if (bpf_core_type_exists(struct TCP_Server_Info)) {
		server->pdu_size = 76;
		server->in_flight = 3;
		server->credits = 40;
	}
	it->server = server;
	return it->server;
}

SEC("syscall")
int fake_send(struct fake_send *ctx)
{
	struct fake *it = the_fake();

	if (!it)
		return -ENOENT;
	it->task.flags = ctx->task_flags;
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
	it->compound = it->rqst;
	return request_sent(server_of(it, ctx->connection_id), ctx->requests, (void *)it->compound,
			    ctx->flags);
}

SEC("syscall")
int fake_receive(struct fake_receive *ctx)
{
	struct fake *it = the_fake();

	if (!it)
		return -ENOENT;
	it->response.header.protocol_id = SMB2_PROTOCOL_ID;
	it->response.header.status = ctx->status;
	it->response.header.message_id = ctx->message_id;
	it->response.header.flags = ctx->flags;
	it->response.header.credits = ctx->credits;
	it->response.tree_id = ctx->tree_id;
	it->response.session_id = ctx->session_id;
	return response_received(server_of(it, ctx->connection_id), &it->response);
}

struct fake_end {
	__u64 connection_id, message_id, mid_state;
};

SEC("syscall")
int fake_end(struct fake_end *ctx)
{
	struct fake *it = the_fake();

	struct TCP_Server_Info *server;

	if (!it || !bpf_core_type_exists(struct mid_q_entry))
		return -ENOENT;
	server = server_of(it, ctx->connection_id);
	it->mid.mid = ctx->message_id;
	it->mid.mid_state = ctx->mid_state;
	if (!bpf_core_field_exists(struct mid_q_entry___old, server))
		return request_ended(server, &it->mid, true);
	((struct mid_q_entry___old *)&it->mid)->server = server;
	return request_ended(&it->mid, NULL, true);
}

SEC("syscall")
int fake_enter_sync(struct pt_regs *ctx)
{
	return note_entry(false);
}

SEC("syscall")
int fake_enter_async(struct pt_regs *ctx)
{
	return note_entry(true);
}

SEC("syscall")
int fake_wait_credits(struct pt_regs *ctx)
{
	struct fake *it = the_fake();

	return it ? mtu_credits_entered(server_of(it, 1)) : -ENOENT;
}

static __always_inline bool has_conn_id(void)
{
	struct TCP_Server_Info *server = NULL;

	return bpf_core_field_exists(server->conn_id);
}

struct fake_lifecycle {
	__u64 session_id, connection_id, message_id, tree_id, command, status, xid, error;
};

SEC("syscall")
int fake_reconnect(struct fake_lifecycle *ctx)
{
	__u64 arguments[] = {ctx->message_id, ctx->connection_id, FAKE_HOSTNAME};
	__u64 without_conn_id[] = {ctx->message_id, FAKE_HOSTNAME, 0};

	return reconnected(has_conn_id() ? arguments : without_conn_id, AOD_CAUSE_RECONNECT);
}

SEC("syscall")
int fake_credit_timeout(struct fake_lifecycle *ctx)
{
	__u64 arguments[] = {ctx->message_id, ctx->connection_id, FAKE_HOSTNAME, 12, 1, 34};
	__u64 without_conn_id[] = {ctx->message_id, FAKE_HOSTNAME, 12, 1, 0, 0};

	return credits_changed(has_conn_id() ? arguments : without_conn_id,
			       AOD_CAUSE_CREDITS_TIMEOUT);
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
	struct fake *it = the_fake();

	return it ? credit_wait_entered(server_of(it, ctx->connection_id)) : -ENOENT;
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
	return command_left(ctx->session_id, ctx->command, ctx->message_id, ctx->status);
}
