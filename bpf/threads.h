/* SPDX-License-Identifier: GPL-2.0-only */
/* Threads on their way to smb_send_rqst, and what came of what they sent. */
#ifndef AOD_THREADS_H
#define AOD_THREADS_H

#include "accessors.h"
#include "event.h"

/* Thread -> when it entered cifs. LRU: a thread that has ended leaves its entry. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct aod_wait);
} waiting SEC(".maps");

/* The entry of this thread, or NULL when it has not called cifs of late. */
static __always_inline struct aod_wait *known_thread(void)
{
	__u32 tid = bpf_get_current_pid_tgid();

	return bpf_map_lookup_elem(&waiting, &tid);
}

/* The entry of this thread, made when it is not there. */
static __always_inline struct aod_wait *this_thread(void)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct aod_wait *thread = bpf_map_lookup_elem(&waiting, &tid);
	static const struct aod_wait nothing;

	if (thread)
		return thread;
	bpf_map_update_elem(&waiting, &tid, &nothing, BPF_ANY);
	return bpf_map_lookup_elem(&waiting, &tid);
}

/* A thread whose request failed has a reason to fail itself. */
static __always_inline void note_failure(const struct aod_request *request, __u64 now)
{
	struct aod_wait *thread = bpf_map_lookup_elem(&waiting, &request->tid);

	if (thread)
		thread->failed_ns = now;
}

static __always_inline int note_entry(bool is_async)
{
	struct aod_wait *thread = this_thread();

	if (!thread)
		return 0;
	/* Credits of before are this call's only if nothing was sent since. */
	if (!is_async || thread->sent_ns)
		thread->credits_ns = 0;
	thread->entered_ns = bpf_ktime_get_ns();
	thread->is_async = is_async;
	thread->sent_ns = 0;
	return 0;
}

static __always_inline int note_credits(void)
{
	struct aod_wait *thread = this_thread();

	if (!thread)
		return 0;
	thread->entered_ns = thread->credits_ns = bpf_ktime_get_ns();
	thread->is_async = false;
	thread->sent_ns = 0;
	return 0;
}

#endif
