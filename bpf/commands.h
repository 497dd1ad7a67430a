/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The lowest rung: requests as cifs itself tells of them, where its functions
 * cannot be probed.
 *
 * Degraded: no queue time, no connection, no aborts, nothing of ECHO, and a
 * response counts when its status is mapped, not when it came.
 */
#ifndef AOD_COMMANDS_H
#define AOD_COMMANDS_H

#include "send.h"

static __always_inline int command_entered(__u32 tree_id, __u64 session_id, __u16 command,
					   __u64 message_id)
{
	__u64 now = bpf_ktime_get_ns(), process = bpf_get_current_pid_tgid();
	struct aod_request_key key = {.connection_id = session_id, .message_id = message_id};
	struct aod_request request = {
		.started_ns = now,
		.sent_ns = now,
		.session_id = session_id,
		.tree_id = tree_id,
		.command = command,
		.cgroup_id = bpf_get_current_cgroup_id(),
		.pid = process >> 32,
		.tid = process,
		.uid = bpf_get_current_uid_gid(),
	};
	struct aod_wait *thread;

	/* The status of an ECHO is never mapped. */
	if (command == SMB2_ECHO)
		return 0;
	count(AOD_COUNT_REQUESTS);
	thread = this_thread();
	if (thread)
		thread->sent_ns = now;
	if (command == SMB2_WRITE && is_kernel_thread())
		request.flags = AOD_WRITEBACK;
	bpf_get_current_comm(request.comm, sizeof(request.comm));
	remember(&key, &request, NULL);
	return 0;
}

/* Of a compound that failed only the first status is mapped: the others failed with it. */
static __always_inline void end_followers(struct aod_request_key key, __u32 tid, __u64 sent_ns,
					  __u32 status)
{
	for (int i = 1; i < MAX_COMPOUND; i++) {
		struct aod_request *next;

		key.message_id++;
		next = find_request(&key);
		if (!next || next->tid != tid || next->sent_ns < sent_ns)
			return;
		next->status = next->previous_status = status;
		next->flags |= AOD_RELATED;
		complete(&key, next, NULL);
		count(AOD_COUNT_PDUS);
	}
}

/* The first request of a login has no session id yet; its response brings it. */
static __always_inline struct aod_request *find_command(struct aod_request_key *key, __u16 command)
{
	struct aod_request_key login = {.message_id = key->message_id};
	struct aod_request *request = find_request(key);

	if (request || command != SMB2_SESSION_SETUP)
		return request;
	request = find_request(&login);
	if (request)
		*key = login;
	return request;
}

static __always_inline int command_left(__u64 session_id, __u16 command, __u64 message_id,
					__u32 status)
{
	struct aod_request_key key = {.connection_id = session_id, .message_id = message_id};
	struct aod_request *request = find_command(&key, command);
	__u64 sent_ns;
	__u32 tid;

	count(AOD_COUNT_PDUS);
	if (!request) {
		count(is_earlier(&key) ? AOD_COUNT_EARLIER : AOD_COUNT_UNMATCHED);
		return 0;
	}
	request->status = status;
	tid = request->tid;
	sent_ns = request->sent_ns;
	complete(&key, request, NULL);
	if (is_failure(status) && status != SMB2_STATUS_BUFFER_OVERFLOW)
		end_followers(key, tid, sent_ns, status);
	return 0;
}

#endif
