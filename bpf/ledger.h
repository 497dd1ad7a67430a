/* SPDX-License-Identifier: GPL-2.0-only */
/* The books: every request and every response is counted, and what becomes of it. */
#ifndef AOD_LEDGER_H
#define AOD_LEDGER_H

#include "cifs.h"
#include "event.h"

/* A row for each CPU, which user space asks for at the load and reads in place. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct aod_ledger_row);
} ledger SEC(".maps");

static __always_inline void count(__u32 which)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct aod_ledger_row *row = bpf_map_lookup_elem(&ledger, &cpu);

	if (row)
		row->counts[which & (AOD_LEDGER_ROW - 1)] += 1;
}

#endif
