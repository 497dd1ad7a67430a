/* SPDX-License-Identifier: GPL-2.0-only */
/* How many requests each command of each share took, and how long. */
#ifndef AOD_COUNTERS_H
#define AOD_COUNTERS_H

#include "earlier.h"
#include "filter.h"
#include "ledger.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct aod_counter_key);
	__type(value, struct aod_counter);
} counters SEC(".maps");

static __always_inline __u32 log2_of(__u64 value)
{
	__u32 result = 0;

	for (int shift = 32; shift; shift /= 2) {
		if (value >> shift) {
			value >>= shift;
			result += shift;
		}
	}
	return result;
}

/* Off the hot path: once for each connection, tree and command. */
static __noinline struct aod_counter *new_counter(const struct aod_counter_key *counter_key,
						  const struct aod_request_key *key)
{
	static const struct aod_counter nothing;

	note_completed(key);
	bpf_map_update_elem(&counters, counter_key, &nothing, BPF_NOEXIST);
	return bpf_map_lookup_elem(&counters, counter_key);
}

static __always_inline void count_latency(const struct aod_request_key *key,
					  const struct aod_request *request, __u64 latency_ns)
{
	struct aod_counter_key counter_key = {
		.connection_id = key->connection_id,
		.tree_id = request->tree_id,
		.command = request->command,
	};
	struct aod_counter *counter;
	__u32 bucket;

	if (is_own(request->pid))
		return;
	counter = bpf_map_lookup_elem(&counters, &counter_key);
	if (!counter)
		counter = new_counter(&counter_key, key);
	if (!counter) {
		count(AOD_COUNT_UNCOUNTED);
		return;
	}
	__sync_fetch_and_add(&counter->total_ns, latency_ns);
	if (is_failure(request->status))
		__sync_fetch_and_add(&counter->errors, 1);
	if (request->payload_bytes)
		__sync_fetch_and_add(&counter->bytes, request->payload_bytes);
	bucket = log2_of(latency_ns / 1000);
	if (bucket >= AOD_BUCKETS)
		bucket = AOD_BUCKETS - 1;
	__sync_fetch_and_add(&counter->latency[bucket], 1);
	/* Two at once may lose one: it tells how long, never how many. */
	if (latency_ns > counter->longest_ns)
		counter->longest_ns = latency_ns;
}

#endif
