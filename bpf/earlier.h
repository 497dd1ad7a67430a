/* SPDX-License-Identifier: GPL-2.0-only */
/* Requests that were sent before the probes were there. */
#ifndef AOD_EARLIER_H
#define AOD_EARLIER_H

#include "event.h"
#include "cifs.h"

/* Connection -> the first message id that completed. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u64);
} first_completed SEC(".maps");

/* To be called with the first request of a connection that completes, and with others. */
static __always_inline void note_completed(const struct aod_request_key *key)
{
	bpf_map_update_elem(&first_completed, &key->connection_id, &key->message_id, BPF_NOEXIST);
}

/* Message ids restart at 0, and no answer of before can come any more. */
static __always_inline void note_reconnect(__u64 connection_id)
{
	__u64 zero = 0;

	bpf_map_update_elem(&first_completed, &connection_id, &zero, BPF_ANY);
}

/*
 * Message ids of a connection only rise: one below the first that completed, or on a
 * connection where none did, was sent before the probes were there.
 */
static __always_inline bool is_earlier(const struct aod_request_key *key)
{
	__u64 *first = bpf_map_lookup_elem(&first_completed, &key->connection_id);

	return !first || key->message_id < *first;
}

#endif
