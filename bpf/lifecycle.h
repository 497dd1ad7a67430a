/* SPDX-License-Identifier: GPL-2.0-only */
/* What happens to connections and sessions, and what fails without a request. */
#ifndef AOD_LIFECYCLE_H
#define AOD_LIFECYCLE_H

#include "requests.h"

enum { LONG_CREDIT_WAIT_NS = 1000000 };

/* The first of the errors that stay in the kernel (include/linux/errno.h). */
enum { ERESTARTSYS = 512 };

/* LRU: a thread that is killed inside leaves its entry. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct aod_credit_wait);
} credit_waits SEC(".maps");

/* An event of now and of this thread, or NULL when it is not wanted or lost. */
static __always_inline struct aod_event *begin_event(__u32 kind, __u32 cause)
{
	__u64 process = bpf_get_current_pid_tgid();
	struct aod_event *event;

	if (!is_wanted_kind(kind))
		return NULL;
	event = reserve_event();
	if (!event)
		return NULL;
	event->time_ns = bpf_ktime_get_ns();
	event->kind = kind;
	event->cause = cause;
	event->pid = process >> 32;
	event->tid = process;
	event->uid = bpf_get_current_uid_gid();
	event->cgroup_id = bpf_get_current_cgroup_id();
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	if (is_own(event->pid))
		event->flags = AOD_SELF;
	return event;
}

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
	__u64 zero = 0;

	/* Message ids restart at 0, and no answer of before can come any more. */
	if (it.connection_id)
		bpf_map_update_elem(&first_completed, &it.connection_id, &zero, BPF_ANY);
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

static __always_inline int credits_changed(const __u64 *arguments, __u32 cause)
{
	struct traced_connection it = traced(arguments, true);
	struct aod_event *event = begin_event(AOD_CREDIT_WAIT, cause);

	if (!event)
		return 0;
	event->connection_id = it.connection_id;
	event->message_id = it.message_id;
	event->credits_granted = it.credits;
	event->in_flight = it.in_flight;
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

/* What a signal makes of an operation says nothing of its request. */
static __always_inline bool is_interruption(int error)
{
	return error == -EINTR || error <= -ERESTARTSYS;
}

/*
 * Whether the thread leaves unanswered what it sent last: the send failed, or a
 * signal came. User space tells of it once cifs has given it up, with the error
 * that is noted here; that takes DebugData with the ids of connections.
 */
static __noinline bool has_unanswered(struct aod_wait *wait, int error)
{
	struct TCP_Server_Info *server = NULL;
	struct aod_request_key key;
	struct aod_request *request;
	bool found = false;

	if (!wait || !bpf_core_field_exists(server->conn_id))
		return false;
	key.connection_id = wait->connection_id;
	key.message_id = wait->message_id;
	wait->connection_id = wait->message_id = 0;
	/* 6.1's verifier takes no loop whose end falls through into its middle, as clang 14 makes
	 * it. */
#pragma unroll
	for (int i = 0; i < MAX_COMPOUND; i++) {
		request = find_request(&key);
		if (!request || request->tid != (__u32)bpf_get_current_pid_tgid() ||
		    request->flags & AOD_ASYNC)
			break;
		found = true;
		if (!is_interruption(error))
			request->error = error;
		if (!request->next_distance)
			break;
		key.message_id += request->next_distance;
	}
	return found;
}

/*
 * Whether the operation that fails now had a request that failed. An operation
 * within another one ends first and has the higher xid: the outer one then
 * fails for the same reason.
 */
static __always_inline bool had_failed_request(__u32 xid, int error)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct aod_wait *wait = bpf_map_lookup_elem(&waiting, &tid);

	if (!wait)
		return false;
	if (wait->failed_ns || has_unanswered(wait, error)) {
		wait->failed_ns = 0;
		wait->failed_xid = xid;
		return true;
	}
	return (__s32)(xid - wait->failed_xid) < 0;
}

static __always_inline int operation_failed(__u32 xid, int error)
{
	struct aod_event *event;

	if (had_failed_request(xid, error) || !is_wanted_error(error))
		return 0;
	event = begin_event(AOD_UNSENT, 0);
	if (!event)
		return 0;
	event->error = error;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

static __always_inline int credit_wait_entered(struct TCP_Server_Info *server)
{
	struct aod_credit_wait wait = {
		.entered_ns = bpf_ktime_get_ns(),
		.server = (__u64)server,
	};
	__u32 tid = bpf_get_current_pid_tgid();

	bpf_map_update_elem(&credit_waits, &tid, &wait, BPF_ANY);
	return 0;
}

static __always_inline int credit_wait_left(int error)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct aod_credit_wait *found = bpf_map_lookup_elem(&credit_waits, &tid), wait;
	struct TCP_Server_Info *server;
	struct aod_event *event;
	struct aod_wait *thread;

	if (!found)
		return 0;
	wait = *found;
	bpf_map_delete_elem(&credit_waits, &tid);
	thread = bpf_map_lookup_elem(&waiting, &tid);
	if (error && thread)
		thread->failed_ns = bpf_ktime_get_ns();
	if (!error && bpf_ktime_get_ns() - wait.entered_ns < LONG_CREDIT_WAIT_NS)
		return 0;
	event = begin_event(AOD_CREDIT_WAIT, AOD_CAUSE_CREDITS_AWAITED);
	if (!event)
		return 0;
	server = (void *)wait.server;
	event->latency_ns = event->queue_ns = event->time_ns - wait.entered_ns;
	event->connection_id = connection_of(server);
	event->error = error;
	if (bpf_core_field_exists(server->credits))
		event->credits_granted = BPF_CORE_READ(server, credits);
	event->in_flight = in_flight_of(server);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

#endif
