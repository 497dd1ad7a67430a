/* SPDX-License-Identifier: GPL-2.0-only */
/* Responses, and the last that cifs does with a request. */
#ifndef AOD_RECEIVE_H
#define AOD_RECEIVE_H

#include "ending.h"

/* A failure comes without; that of an expired session is followed by a retry, not by an end. */
static __always_inline bool has_payload(const struct aod_request *request)
{
	return request->command == SMB2_READ && request->flags & AOD_ASYNC &&
	       !is_failure(request->status) && setting(AOD_SETTING_PAYLOADS);
}

static __always_inline int response_received(struct TCP_Server_Info *server, const void *buffer)
{
	struct aod_request_key key = {};
	struct aod_request *request;
	struct smb2_header header;

	if (bpf_probe_read_kernel(&header, sizeof(header), buffer) ||
	    header.protocol_id != SMB2_PROTOCOL_ID)
		return 0;
	count(AOD_COUNT_PDUS);
	if (header.message_id == ~0ULL) {
		count(AOD_COUNT_BREAKS);
		return 0;
	}
	key.connection_id = connection_of(server);
	key.message_id = header.message_id;
	request = find_request(&key);
	if (request)
		request->credits_granted += header.credits;
	if (header.status == SMB2_STATUS_PENDING) {
		count(AOD_COUNT_INTERIM);
		if (request && !request->pended_ns) {
			request->pended_ns = bpf_ktime_get_ns();
			request->flags |= AOD_PENDED;
		}
		return 0;
	}
	if (!request) {
		count(is_earlier(&key) ? AOD_COUNT_EARLIER : AOD_COUNT_UNMATCHED);
		return 0;
	}
	request->status = header.status;
	if (has_payload(request)) {
		request->response_bytes = response_bytes_of(server);
		request->response_ns = bpf_ktime_get_ns();
		return 0;
	}
	complete(&key, request, server);
	return 0;
}

static __always_inline int error_of(int mid_state)
{
	switch (mid_state) {
	case MID_RETRY_NEEDED:
		return -EAGAIN;
	case MID_SHUTDOWN:
		return -EHOSTDOWN;
	default:
		return -EIO;
	}
}

static __always_inline bool is_answered(int mid_state)
{
	return mid_state == MID_RESPONSE_RECEIVED || mid_state == MID_RESPONSE_READY;
}

static __always_inline void give_up(const struct aod_request_key *key, struct aod_request *request,
				    struct TCP_Server_Info *server, int mid_state)
{
	struct ending ended = {
		.time_ns = bpf_ktime_get_ns(),
		.kind = AOD_ABORTED,
		.error = error_of(mid_state),
	};

	/* A READ that was answered and lost its payload: its PDU was counted. */
	count(request->response_ns ? AOD_COUNT_COMPLETED : AOD_COUNT_ABORTED);
	note_failure(request, ended.time_ns);
	emit(key, request, server, &ended);
	forget_request(key);
}

/* The last that cifs does with a request: it has its payload, or was given up. */
static __always_inline int request_ended(void *first, void *second, bool may_have_payload)
{
	struct mid_q_entry *mid = mid_of(first, second);
	int mid_state = BPF_CORE_READ(mid, mid_state);
	struct aod_request_key key = {};
	struct TCP_Server_Info *server;
	struct aod_request *request;

	/* Nearly always: the response has told all. */
	if (is_answered(mid_state) && !may_have_payload)
		return 0;
	server = server_of_callback(first);
	key.connection_id = connection_of(server);
	key.message_id = BPF_CORE_READ(mid, mid);
	request = find_request(&key);
	if (!request)
		return 0;
	if (!is_answered(mid_state))
		give_up(&key, request, server, mid_state);
	else if (request->response_ns)
		complete(&key, request, server);
	return 0;
}

#endif
