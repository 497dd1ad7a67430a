/* SPDX-License-Identifier: GPL-2.0-only */
/* What happens to connections, sessions and shares. */
#ifndef AOD_LIFECYCLE_H
#define AOD_LIFECYCLE_H

#include "ending.h"

/*
 * The arguments of smb3_reconnect and of the tracepoints of credits. Until 5.15
 * they lacked the connection and what is in flight; where the types of cifs are
 * not known, nor is which of the two it is.
 */
struct traced_connection {
	__u64 message_id;
	__u64 connection_id;
	int credits;
	int in_flight;
};

static __always_inline struct traced_connection traced(const __u64 *arguments, bool has_credits)
{
	struct traced_connection it = {.message_id = arguments[0]};
	struct TCP_Server_Info *server = NULL;

	if (bpf_core_field_exists(server->conn_id)) {
		it.connection_id = arguments[1];
		if (has_credits) {
			it.credits = arguments[3];
			it.in_flight = arguments[5];
		}
	} else if (bpf_core_type_exists(struct TCP_Server_Info) && has_credits) {
		it.credits = arguments[2];
	}
	return it;
}

static __always_inline int reconnected(const __u64 *arguments, __u32 cause)
{
	struct traced_connection it = traced(arguments, false);
	struct aod_event *event;

	if (it.connection_id)
		note_reconnect(it.connection_id);
	event = begin_event(AOD_RECONNECT, cause);
	if (!event)
		return 0;
	event->connection_id = it.connection_id;
	event->message_id = it.message_id;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

static __always_inline int session_expired(__u32 tree_id, __u64 session_id, __u16 command,
					   __u64 message_id)
{
	struct aod_request_key key = {.connection_id = session_id, .message_id = message_id};
	struct aod_event *event;

	/* On the lowest rung, where the session is the key, nothing more is told of it. */
	abort_open(&key, NULL, bpf_ktime_get_ns());
	event = begin_event(AOD_SESSION_EXPIRED, 0);
	if (!event)
		return 0;
	event->tree_id = tree_id;
	event->session_id = session_id;
	event->command = command;
	event->message_id = message_id;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

static __always_inline int tree_connected(__u32 tree_id, __u64 session_id, int error)
{
	struct aod_event *event = begin_event(AOD_TREE_CONNECT, 0);

	if (!event)
		return 0;
	event->tree_id = tree_id;
	event->session_id = session_id;
	event->error = error;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

#endif
