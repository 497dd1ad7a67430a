/* SPDX-License-Identifier: GPL-2.0-only */
/* The books: every request and every response is counted once for each thing that befalls it. */
#ifndef AOD_LEDGER_H
#define AOD_LEDGER_H

#include "cifs.h"
#include "event.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, AOD_COUNTS);
	__type(key, __u32);
	__type(value, __u64);
} ledger SEC(".maps");

static __always_inline void count(__u32 which)
{
	__u64 *counter = bpf_map_lookup_elem(&ledger, &which);

	if (counter)
		*counter += 1;
}

#endif
