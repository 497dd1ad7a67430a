/* SPDX-License-Identifier: GPL-2.0-only */
/* Waits for credits, and credits that do not add up. */
#ifndef AOD_CREDITS_H
#define AOD_CREDITS_H

#include "lifecycle.h"
#include "threads.h"

/* LRU: a thread that is killed inside leaves its entry. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct aod_credit_wait);
} credit_waits SEC(".maps");

enum { LONG_CREDIT_WAIT_NS = 1000000 };

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

/* Async READ and WRITE take their credits here, before they enter cifs_call_async. */
static __always_inline int mtu_credits_entered(struct TCP_Server_Info *server)
{
	note_credits();
	return is_wanted_kind(AOD_CREDIT_WAIT) ? credit_wait_entered(server) : 0;
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
	thread = known_thread();
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
	event->credits_granted = credits_of(server);
	event->in_flight = in_flight_of(server);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

#endif
