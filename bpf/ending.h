/* SPDX-License-Identifier: GPL-2.0-only */
/* How requests end. */
#ifndef AOD_ENDING_H
#define AOD_ENDING_H

#include "accessors.h"
#include "counters.h"
#include "inflight.h"
#include "ring.h"
#include "threads.h"

/* How a request ended. */
struct ending {
	__u64 time_ns;
	__u64 payload_ns;
	__u32 status;
	__s32 error;
	__u32 flags;
	__u32 response_bytes;
	__u32 kind;
};

static __noinline void emit(const struct aod_request_key *key, const struct aod_request *request,
			    struct TCP_Server_Info *server, const struct ending *ended)
{
	struct aod_event *event = reserve_event();

	if (!event)
		return;
	event->time_ns = ended->time_ns;
	event->latency_ns = ended->time_ns - request->started_ns;
	event->queue_ns = request->sent_ns - request->started_ns;
	if (request->pended_ns)
		event->pended_ns = request->pended_ns - request->sent_ns;
	/* Without the server it is the session that stands in the key. */
	event->connection_id = server ? key->connection_id : 0;
	event->message_id = key->message_id;
	event->session_id = request->session_id;
	event->file_id = request->file_id;
	event->cgroup_id = request->cgroup_id;
	event->tree_id = request->tree_id;
	event->status = ended->status;
	event->error = ended->error;
	event->payload_ns = ended->payload_ns;
	event->flags = request->flags | ended->flags;
	if (is_own(request->pid))
		event->flags |= AOD_SELF;
	event->request_bytes = request->request_bytes;
	event->response_bytes = ended->response_bytes;
	event->in_flight = in_flight_of(server);
	event->pid = request->pid;
	event->tid = request->tid;
	event->uid = request->uid;
	event->command = request->command;
	event->credits_granted = request->credits_granted;
	event->kind = ended->kind;
	event->compound_index = request->compound_index;
	__builtin_memcpy(event->comm, request->comm, sizeof(event->comm));
	bpf_ringbuf_submit(event, 0);
}

/* An entry whose request was given up without a word: it is open no more. */
static __noinline void abort_open(const struct aod_request_key *key, struct TCP_Server_Info *server,
				  __u64 now)
{
	struct ending ended = {
		.time_ns = now,
		.kind = AOD_ABORTED,
		.error = -EAGAIN,
	};
	struct aod_request *old = find_request(key);

	if (!old)
		return;
	if (old->error)
		ended.error = old->error;
	count(AOD_COUNT_ABORTED);
	emit(key, old, server, &ended);
	forget_request(key);
}

/* Tell the next request of the compound how this one failed. */
static __always_inline void pass_failure_on(const struct aod_request_key *key,
					    const struct aod_request *request, __u32 status)
{
	struct aod_request_key next_key = *key;
	struct aod_request *next;

	if (!request->next_distance)
		return;
	next_key.message_id += request->next_distance;
	next = find_request(&next_key);
	if (next)
		next->previous_status = status;
}

static __always_inline void complete(const struct aod_request_key *key, struct aod_request *request,
				     struct TCP_Server_Info *server)
{
	struct ending ended = {
		.time_ns = bpf_ktime_get_ns(),
		.kind = AOD_COMPLETED,
		.status = request->status,
	};

	count(AOD_COUNT_COMPLETED);
	count_latency(key, request, ended.time_ns - request->started_ns);
	if (is_failure(ended.status) && request->flags & AOD_RELATED &&
	    request->previous_status == ended.status)
		ended.flags = AOD_SECONDARY;
	if (is_failure(ended.status)) {
		pass_failure_on(key, request, ended.status);
		note_failure(request, ended.time_ns);
	}
	if (is_slow(ended.time_ns - request->started_ns, request->command,
		    request->flags & AOD_PENDED) ||
	    is_wanted_status(ended.status, request->command, ended.flags & AOD_SECONDARY)) {
		ended.response_bytes = response_bytes_of(server);
		if (request->response_ns) {
			ended.payload_ns = ended.time_ns - request->response_ns;
			ended.response_bytes = request->response_bytes;
		}
		emit(key, request, server, &ended);
	}
	forget_request(key);
}

#endif
