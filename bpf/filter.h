/* SPDX-License-Identifier: GPL-2.0-only */
/* What user space wants to know of: what is slow, what failed, and who does not count. */
#ifndef AOD_FILTER_H
#define AOD_FILTER_H

#include "event.h"
#include "smb2.h"

/* Nanoseconds from which a command is slow: [command], and [AOD_COMMANDS + command] once pended. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * AOD_COMMANDS);
	__type(key, __u32);
	__type(value, __u64);
} latency_thresholds SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, AOD_SETTINGS);
	__type(key, __u32);
	__type(value, __u32);
} settings SEC(".maps");

/* Bit per errno: operations that fail so without a request are sent. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, AOD_ERRNOS / 64);
	__type(key, __u32);
	__type(value, __u64);
} local_errors SEC(".maps");

/* NTSTATUS -> the commands for which the default is reversed. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct aod_commands);
} status_exceptions SEC(".maps");

/* Process ids of aod and its children. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u8);
} own_processes SEC(".maps");

static __always_inline __u32 setting(__u32 which)
{
	__u32 *value = bpf_map_lookup_elem(&settings, &which);

	return value ? *value : 0;
}

static __always_inline bool is_wanted_kind(__u32 kind)
{
	return setting(AOD_SETTING_KINDS) >> kind & 1;
}

static __always_inline bool is_wanted_error(__s32 error)
{
	__u32 number = -error, index = number / 64;
	__u64 *bits = bpf_map_lookup_elem(&local_errors, &index);

	return bits && *bits >> (number % 64) & 1;
}

static __always_inline bool is_own(__u32 pid)
{
	/* None but while something is collected: to look that up costs a tenth of a hash. */
	return setting(AOD_SETTING_OWN) && bpf_map_lookup_elem(&own_processes, &pid);
}

static __always_inline bool is_slow(__u64 latency_ns, __u16 command, bool pended)
{
	__u32 index = command & (AOD_COMMANDS - 1);
	__u64 *threshold_ns;

	if (pended)
		index += AOD_COMMANDS;
	threshold_ns = bpf_map_lookup_elem(&latency_thresholds, &index);
	return threshold_ns && latency_ns >= *threshold_ns;
}

static __always_inline bool has(const struct aod_commands *commands, __u16 command)
{
	__u32 index = command & (AOD_COMMANDS - 1);

	return commands->words[index / 64] >> (index % 64) & 1;
}

static __always_inline bool is_wanted_status(__u32 status, __u16 command, bool secondary)
{
	struct aod_commands *commands;
	bool wanted;

	if (!status || (secondary && !setting(AOD_SETTING_SECONDARY)))
		return false;
	wanted = is_failure(status) && setting(AOD_SETTING_FAILURES);
	commands = bpf_map_lookup_elem(&status_exceptions, &status);
	if (commands && has(commands, command))
		wanted = !wanted;
	return wanted;
}

#endif
