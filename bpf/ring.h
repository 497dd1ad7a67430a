/* SPDX-License-Identifier: GPL-2.0-only */
/* The ring `events`. */
#ifndef AOD_RING_H
#define AOD_RING_H

#include "filter.h"
#include "ledger.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} events SEC(".maps");

/* Reserve a zeroed event, or count the loss. */
static __always_inline struct aod_event *reserve_event(void)
{
	struct aod_event *event;

	count(AOD_COUNT_EVENTS);
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count(AOD_COUNT_LOST);
		return NULL;
	}
	__builtin_memset(event, 0, sizeof(*event));
	return event;
}

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

#endif
