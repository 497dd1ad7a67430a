/* SPDX-License-Identifier: GPL-2.0-only */
/* Requests that were sent and not answered. */
#ifndef AOD_INFLIGHT_H
#define AOD_INFLIGHT_H

#include "cifs.h"
#include "event.h"
#include "ledger.h"

/*
 * Where nearly every request is kept: message ids rise, so that a slot has been
 * left when its turn comes again. To enter, find and leave a slot takes 100
 * instructions, an entry of a hash 1000.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, AOD_SLOTS);
	__type(key, __u32);
	__type(value, struct aod_slot);
} slots SEC(".maps");

/* Those whose slot was taken: above the default of 32000 credits of a connection. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 40960);
	__type(key, struct aod_request_key);
	__type(value, struct aod_request);
} inflight SEC(".maps");

/* Never the id of a request: a server's break has it. */
#define NO_MESSAGE (~0ULL)

static __always_inline struct aod_slot *slot_of(const struct aod_request_key *key)
{
	/* Odd, so that connections with like message ids keep apart. */
	__u32 index = (key->message_id + key->connection_id * 1021) & (AOD_SLOTS - 1);

	return bpf_map_lookup_elem(&slots, &index);
}

/* Of those who claim a slot at once at most one counts itself as the only one. */
static __always_inline bool claim(struct aod_slot *slot)
{
	__sync_fetch_and_add(&slot->claims, 1);
	if (*(volatile __u64 *)&slot->claims == 1)
		return true;
	__sync_fetch_and_add(&slot->claims, -1);
	return false;
}

static __always_inline bool holds(const struct aod_slot *slot, const struct aod_request_key *key)
{
	return slot->claims && slot->key.message_id == key->message_id &&
	       slot->key.connection_id == key->connection_id;
}

static __always_inline struct aod_request *find_request(const struct aod_request_key *key)
{
	struct aod_slot *slot = slot_of(key);

	if (slot && holds(slot, key))
		return &slot->request;
	return bpf_map_lookup_elem(&inflight, key);
}

/* Zero, or an error when the key is there already or the hash is full. */
static __always_inline long keep_request(const struct aod_request_key *key,
					 const struct aod_request *request)
{
	struct aod_slot *slot = slot_of(key);

	if (slot && claim(slot)) {
		slot->request = *request;
		/* Last: by its key a request is found. */
		barrier();
		slot->key = *key;
		return 0;
	}
	if (slot && holds(slot, key))
		return -EEXIST;
	count(AOD_COUNT_CROWDED);
	return bpf_map_update_elem(&inflight, key, request, BPF_NOEXIST);
}

static __always_inline void forget_request(const struct aod_request_key *key)
{
	struct aod_slot *slot = slot_of(key);

	if (!slot || !holds(slot, key)) {
		bpf_map_delete_elem(&inflight, key);
		return;
	}
	/* First: who claims the slot next has it before he has written his key. */
	slot->key.message_id = NO_MESSAGE;
	barrier();
	__sync_fetch_and_add(&slot->claims, -1);
}

#endif
