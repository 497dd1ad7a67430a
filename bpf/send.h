/* SPDX-License-Identifier: GPL-2.0-only */
/* Requests as they are sent. */
#ifndef AOD_SEND_H
#define AOD_SEND_H

#include "ending.h"

/* What the requests of one compound have in common. */
struct sending {
	struct TCP_Server_Info *server;
	__u64 connection_id;
	__u64 sent_ns;
	__u64 entered_ns;
	__u64 credits_ns;
	__u32 flags;
	__u16 index;
	__u16 is_last;
};

static __always_inline void remember(const struct aod_request_key *key,
				     const struct aod_request *request,
				     struct TCP_Server_Info *server)
{
	if (!keep_request(key, request))
		return;
	/* Message ids restart at 0 after a reconnect. */
	abort_open(key, server, request->sent_ns);
	if (keep_request(key, request))
		count(AOD_COUNT_UNTRACKED);
}

/* cifs takes the message ids of a compound in a row, as many for each as it costs credits. */
static __always_inline __u8 distance_to_next(const struct smb2_header *header)
{
	if (header->credit_charge > 255)
		return 0;
	return header->credit_charge ? header->credit_charge : 1;
}

static __always_inline void note_payload(struct aod_request *request,
					 const struct smb2_request *wire,
					 const struct sending *sending)
{
	if (is_one_of(request->command, SMB2_WITH_PAYLOAD)) {
		request->payload_bytes = wire->length;
		if (sending->credits_ns)
			request->started_ns = sending->credits_ns;
	}
	if (is_one_of(request->command, 1 << SMB2_WRITE)) {
		request->request_bytes += wire->length;
		if (is_kernel_thread())
			request->flags |= AOD_WRITEBACK;
	}
}

/* Not inlined: the verifier then forgets between two requests what it knew of the first. */
static __noinline __u64 send_one(const struct sending *sending, const struct smb_rqst *rqst)
{
	__u64 process = bpf_get_current_pid_tgid();
	struct aod_request request = {
		.started_ns = sending->entered_ns,
		.sent_ns = sending->sent_ns,
		.cgroup_id = bpf_get_current_cgroup_id(),
		.pid = process >> 32,
		.tid = process,
		.uid = bpf_get_current_uid_gid(),
		.flags = sending->flags,
		.compound_index = sending->index,
	};
	struct aod_request_key key = {.connection_id = sending->connection_id};
	struct smb2_request wire;

	if (read_request(rqst, &wire, &request.request_bytes)) {
		count(AOD_COUNT_REQUESTS);
		count(AOD_COUNT_UNTRACKED);
		return 0;
	}
	if (wire.header.protocol_id != SMB2_PROTOCOL_ID)
		return 0;
	count(AOD_COUNT_REQUESTS);
	request.command = wire.header.command;
	request.session_id = wire.session_id;
	request.tree_id = wire.tree_id;
	request.file_id = file_id_of(&wire);
	note_payload(&request, &wire, sending);
	if (wire.header.flags & SMB2_FLAGS_RELATED)
		request.flags |= AOD_RELATED;
	bpf_get_current_comm(request.comm, sizeof(request.comm));
	if (!sending->is_last)
		request.next_distance = distance_to_next(&wire.header);
	key.message_id = wire.header.message_id;
	remember(&key, &request, sending->server);
	return key.message_id;
}

/* What the thread waited for is now sent. */
static __always_inline void end_wait(struct aod_wait *thread, struct sending *sending)
{
	if (thread->entered_ns && !thread->sent_ns) {
		sending->entered_ns = thread->entered_ns;
		sending->credits_ns = thread->credits_ns;
		if (thread->is_async)
			sending->flags |= AOD_ASYNC;
	}
	thread->sent_ns = sending->sent_ns;
	thread->connection_id = sending->connection_id;
}

static __always_inline int request_sent(struct TCP_Server_Info *server, int requests,
					struct smb_rqst *rqst, int flags)
{
	__u64 now = bpf_ktime_get_ns();
	struct aod_wait *thread = this_thread();
	struct sending sending = {
		.server = server,
		.connection_id = connection_of(server),
		.sent_ns = now,
		.entered_ns = now,
	};
	__u64 stride = stride_of(rqst, requests), message_id;

	if (thread)
		end_wait(thread, &sending);
	if (flags & CIFS_TRANSFORM_REQ)
		sending.flags |= AOD_ENCRYPTED;
	for (int i = 0; i < MAX_COMPOUND; i++) {
		if (i >= requests)
			break;
		sending.index = i;
		sending.is_last = i + 1 == requests;
		message_id = send_one(&sending, (void *)rqst + i * stride);
		if (thread && !i)
			thread->message_id = message_id;
	}
	return 0;
}

#endif
