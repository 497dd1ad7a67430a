/* SPDX-License-Identifier: GPL-2.0-only */
/* Operations that fail without a request that did. */
#ifndef AOD_OPERATIONS_H
#define AOD_OPERATIONS_H

#include "inflight.h"
#include "ring.h"
#include "threads.h"

/* The first of the errors that stay in the kernel (include/linux/errno.h). */
enum { ERESTARTSYS = 512 };

/* What a signal makes of an operation says nothing of its request. */
static __always_inline bool is_interruption(int error)
{
	return error == -EINTR || error <= -ERESTARTSYS;
}

/*
 * What the thread sent last and leaves unanswered: the send failed, or a signal
 * came. User space tells of it once cifs has given it up, with the error that is
 * noted here; that takes DebugData with the ids of connections. It is then the
 * thread's failed request.
 */
static __noinline int note_unanswered(struct aod_wait *thread, int error)
{
	struct TCP_Server_Info *server = NULL;
	struct aod_request_key key;
	struct aod_request *request;
	bool found = false;

	if (!thread || !bpf_core_field_exists(server->conn_id))
		return 0;
	key.connection_id = thread->connection_id;
	key.message_id = thread->message_id;
	thread->connection_id = thread->message_id = 0;
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
	if (found)
		thread->failed_ns = bpf_ktime_get_ns();
	return 0;
}

/*
 * An operation within another one ends first and has the higher xid: the outer
 * one then fails for the same reason.
 */
static __always_inline bool is_around_failed(const struct aod_wait *thread, __u32 xid)
{
	return (__s32)(xid - thread->failed_xid) < 0;
}

/* Each failed request is the reason of one operation, and of those around it. */
static __always_inline void end_failed(struct aod_wait *thread, __u32 xid)
{
	thread->failed_ns = 0;
	thread->failed_xid = xid;
}

static __always_inline int operation_failed(__u32 xid, int error)
{
	struct aod_wait *thread = known_thread();
	struct aod_event *event;

	if (thread) {
		if (!thread->failed_ns)
			note_unanswered(thread, error);
		if (thread->failed_ns) {
			end_failed(thread, xid);
			return 0;
		}
		if (is_around_failed(thread, xid))
			return 0;
	}
	if (!is_wanted_error(error))
		return 0;
	event = begin_event(AOD_UNSENT, 0);
	if (!event)
		return 0;
	event->error = error;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

#endif
