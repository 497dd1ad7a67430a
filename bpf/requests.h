/* SPDX-License-Identifier: GPL-2.0-only */
/* A request from its send to its end. */
#ifndef AOD_REQUESTS_H
#define AOD_REQUESTS_H

#include "counters.h"
#include "inflight.h"
#include "ring.h"

/* Thread -> when it entered cifs. LRU: a thread that has ended leaves its entry. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct aod_wait);
} waiting SEC(".maps");

static __always_inline __u64 connection_of(struct TCP_Server_Info *server)
{
	/* 5.10 has no conn_id: there the address serves as well. */
	if (bpf_core_field_exists(server->conn_id))
		return BPF_CORE_READ(server, conn_id);
	return (__u64)server;
}

/* Zero where there is no server, or no types of cifs. */
static __always_inline __u32 in_flight_of(struct TCP_Server_Info *server)
{
	if (bpf_core_field_exists(server->in_flight))
		return BPF_CORE_READ(server, in_flight);
	return 0;
}

static __always_inline __u32 response_bytes_of(struct TCP_Server_Info *server)
{
	if (bpf_core_field_exists(server->pdu_size))
		return BPF_CORE_READ(server, pdu_size);
	return 0;
}

static __always_inline __u64 file_id_of(const struct smb2_request *wire)
{
	__u16 command = wire->header.command;
	__u64 file_id = 0;

	if (is_one_of(command, SMB2_FILE_AT_72))
		file_id = wire->at72;
	if (is_one_of(command, SMB2_FILE_AT_80))
		file_id = wire->at80;
	if (is_one_of(command, SMB2_FILE_AT_88))
		file_id = wire->at88;
	/* ~0 in a related request means: the file of the request before it. */
	return file_id == ~0ULL ? 0 : file_id;
}

static __always_inline bool is_kernel_thread(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	if (bpf_core_field_exists(task->flags))
		return BPF_CORE_READ(task, flags) & PF_KTHREAD;
	return false;
}

/* How a request ended. */
struct ending {
	__u64 time_ns;
	__u64 payload_ns;
	__u32 status;
	__s32 error;
	__u32 flags;
	__u32 response_bytes;
	__u32 kind;
};

static __noinline void emit(const struct aod_request_key *key, const struct aod_request *request,
			    struct TCP_Server_Info *server, const struct ending *ended)
{
	struct aod_event *event = reserve_event();

	if (!event)
		return;
	event->time_ns = ended->time_ns;
	event->latency_ns = ended->time_ns - request->started_ns;
	event->queue_ns = request->sent_ns - request->started_ns;
	if (request->pended_ns)
		event->pended_ns = request->pended_ns - request->sent_ns;
	/* Without the server it is the session that stands in the key. */
	event->connection_id = server ? key->connection_id : 0;
	event->message_id = key->message_id;
	event->session_id = request->session_id;
	event->file_id = request->file_id;
	event->cgroup_id = request->cgroup_id;
	event->tree_id = request->tree_id;
	event->status = ended->status;
	event->error = ended->error;
	event->payload_ns = ended->payload_ns;
	event->flags = request->flags | ended->flags;
	if (is_own(request->pid))
		event->flags |= AOD_SELF;
	event->request_bytes = request->request_bytes;
	event->response_bytes = ended->response_bytes;
	event->in_flight = in_flight_of(server);
	event->pid = request->pid;
	event->tid = request->tid;
	event->uid = request->uid;
	event->command = request->command;
	event->credits_granted = request->credits_granted;
	event->kind = ended->kind;
	event->compound_index = request->compound_index;
	__builtin_memcpy(event->comm, request->comm, sizeof(event->comm));
	bpf_ringbuf_submit(event, 0);
}

/* An entry whose request was given up without a word: it is open no more. */
static __noinline void abort_open(const struct aod_request_key *key, struct TCP_Server_Info *server,
				  __u64 now)
{
	struct ending ended = {
		.time_ns = now,
		.kind = AOD_ABORTED,
		.error = -EAGAIN,
	};
	struct aod_request *old = find_request(key);

	if (!old)
		return;
	if (old->error)
		ended.error = old->error;
	count(AOD_COUNT_ABORTED);
	emit(key, old, server, &ended);
	forget_request(key);
}

static __always_inline void remember(const struct aod_request_key *key,
				     const struct aod_request *request,
				     struct TCP_Server_Info *server)
{
	if (!keep_request(key, request))
		return;
	/* Message ids restart at 0 after a reconnect. */
	abort_open(key, server, request->sent_ns);
	if (keep_request(key, request))
		count(AOD_COUNT_UNTRACKED);
}

/* The entry of this thread, made when it is not there. */
static __always_inline struct aod_wait *this_thread(void)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct aod_wait *wait = bpf_map_lookup_elem(&waiting, &tid);
	static const struct aod_wait nothing;

	if (wait)
		return wait;
	bpf_map_update_elem(&waiting, &tid, &nothing, BPF_ANY);
	return bpf_map_lookup_elem(&waiting, &tid);
}

/* A thread whose request failed has a reason to fail itself. */
static __always_inline void note_failure(const struct aod_request *request, __u64 now)
{
	struct aod_wait *wait = bpf_map_lookup_elem(&waiting, &request->tid);

	if (wait)
		wait->failed_ns = now;
}

/* Sizes that struct smb_rqst had from 5.4 to 7.3: for a kernel that does not tell its types. */
static __always_inline __u64 find_stride(const void *rqst)
{
	for (__u32 size = 40; size <= 80; size += 8) {
		void *segments = NULL, *buffer = NULL;
		__u32 protocol_id = 0;

		bpf_probe_read_kernel(&segments, sizeof(segments), rqst + size);
		bpf_probe_read_kernel(&buffer, sizeof(buffer), segments);
		bpf_probe_read_kernel(&protocol_id, sizeof(protocol_id), buffer);
		if (protocol_id == SMB2_PROTOCOL_ID)
			return size;
	}
	return 0;
}

static __always_inline __u64 stride_of(const void *rqst, int requests)
{
	if (bpf_core_type_exists(struct smb_rqst))
		return bpf_core_type_size(struct smb_rqst);
	return requests > 1 ? find_stride(rqst) : 0;
}

static __always_inline int read_request(const struct smb_rqst *rqst, struct smb2_request *wire,
					__u32 *bytes)
{
	struct kvec segment, *segments;

	/* The first field in 16 of 16 modules. */
	if (bpf_core_field_exists(rqst->rq_iov))
		segments = BPF_CORE_READ(rqst, rq_iov);
	else if (bpf_probe_read_kernel(&segments, sizeof(segments), rqst))
		return -EFAULT;
	if (bpf_probe_read_kernel(&segment, sizeof(segment), segments))
		return -EFAULT;
	/* Request buffers are at least 448 bytes: reading past a short body is safe. */
	if (bpf_probe_read_kernel(wire, sizeof(*wire), segment.iov_base))
		return -EFAULT;
	*bytes = segment.iov_len;
	return 0;
}

/* What the requests of one compound have in common. */
struct sending {
	struct TCP_Server_Info *server;
	__u64 connection_id;
	__u64 sent_ns;
	__u64 entered_ns;
	__u64 credits_ns;
	__u32 flags;
	__u16 index;
	__u16 is_last;
};

/* cifs takes the message ids of a compound in a row, as many for each as it costs credits. */
static __always_inline __u8 distance_to_next(const struct smb2_header *header)
{
	if (header->credit_charge > 255)
		return 0;
	return header->credit_charge ? header->credit_charge : 1;
}

/* Not inlined: the verifier then forgets between two requests what it knew of the first. */
static __noinline __u64 send_one(const struct sending *sending, const struct smb_rqst *rqst)
{
	__u64 process = bpf_get_current_pid_tgid();
	struct aod_request request = {
		.started_ns = sending->entered_ns,
		.sent_ns = sending->sent_ns,
		.cgroup_id = bpf_get_current_cgroup_id(),
		.pid = process >> 32,
		.tid = process,
		.uid = bpf_get_current_uid_gid(),
		.flags = sending->flags,
		.compound_index = sending->index,
	};
	struct aod_request_key key = {.connection_id = sending->connection_id};
	struct smb2_request wire;

	if (read_request(rqst, &wire, &request.request_bytes)) {
		count(AOD_COUNT_REQUESTS);
		count(AOD_COUNT_UNTRACKED);
		return 0;
	}
	if (wire.header.protocol_id != SMB2_PROTOCOL_ID)
		return 0;
	count(AOD_COUNT_REQUESTS);
	request.command = wire.header.command;
	request.session_id = wire.session_id;
	request.tree_id = wire.tree_id;
	request.file_id = file_id_of(&wire);
	if (is_one_of(request.command, SMB2_WITH_PAYLOAD)) {
		request.payload_bytes = wire.length;
		if (sending->credits_ns)
			request.started_ns = sending->credits_ns;
	}
	if (is_one_of(request.command, 1 << SMB2_WRITE)) {
		request.request_bytes += wire.length;
		if (is_kernel_thread())
			request.flags |= AOD_WRITEBACK;
	}
	if (wire.header.flags & SMB2_FLAGS_RELATED)
		request.flags |= AOD_RELATED;
	bpf_get_current_comm(request.comm, sizeof(request.comm));
	if (!sending->is_last)
		request.next_distance = distance_to_next(&wire.header);
	key.message_id = wire.header.message_id;
	remember(&key, &request, sending->server);
	return key.message_id;
}

/* What the thread waited for is now sent. */
static __always_inline void end_wait(struct aod_wait *thread, struct sending *sending)
{
	if (thread->entered_ns && !thread->sent_ns) {
		sending->entered_ns = thread->entered_ns;
		sending->credits_ns = thread->credits_ns;
		if (thread->is_async)
			sending->flags |= AOD_ASYNC;
	}
	thread->sent_ns = sending->sent_ns;
	thread->connection_id = sending->connection_id;
}

static __always_inline int request_sent(struct TCP_Server_Info *server, int requests,
					struct smb_rqst *rqst, int flags)
{
	__u64 now = bpf_ktime_get_ns();
	struct aod_wait *thread = this_thread();
	struct sending sending = {
		.server = server,
		.connection_id = connection_of(server),
		.sent_ns = now,
		.entered_ns = now,
	};
	__u64 stride = stride_of(rqst, requests), message_id;

	if (thread)
		end_wait(thread, &sending);
	if (flags & CIFS_TRANSFORM_REQ)
		sending.flags |= AOD_ENCRYPTED;
	for (int i = 0; i < MAX_COMPOUND; i++) {
		if (i >= requests)
			break;
		sending.index = i;
		sending.is_last = i + 1 == requests;
		message_id = send_one(&sending, (void *)rqst + i * stride);
		if (thread && !i)
			thread->message_id = message_id;
	}
	return 0;
}

/* Tell the next request of the compound how this one failed. */
static __always_inline void pass_failure_on(const struct aod_request_key *key,
					    const struct aod_request *request, __u32 status)
{
	struct aod_request_key next_key = *key;
	struct aod_request *next;

	if (!request->next_distance)
		return;
	next_key.message_id += request->next_distance;
	next = find_request(&next_key);
	if (next)
		next->previous_status = status;
}

static __always_inline void complete(const struct aod_request_key *key, struct aod_request *request,
				     struct TCP_Server_Info *server)
{
	struct ending ended = {
		.time_ns = bpf_ktime_get_ns(),
		.kind = AOD_COMPLETED,
		.status = request->status,
	};

	count(AOD_COUNT_COMPLETED);
	count_latency(key, request, ended.time_ns - request->started_ns);
	if (is_failure(ended.status) && request->flags & AOD_RELATED &&
	    request->previous_status == ended.status)
		ended.flags = AOD_SECONDARY;
	if (is_failure(ended.status)) {
		pass_failure_on(key, request, ended.status);
		note_failure(request, ended.time_ns);
	}
	if (is_slow(ended.time_ns - request->started_ns, request->command,
		    request->flags & AOD_PENDED) ||
	    is_wanted_status(ended.status, request->command, ended.flags & AOD_SECONDARY)) {
		ended.response_bytes = response_bytes_of(server);
		if (request->response_ns) {
			ended.payload_ns = ended.time_ns - request->response_ns;
			ended.response_bytes = request->response_bytes;
		}
		emit(key, request, server, &ended);
	}
	forget_request(key);
}

/* A failure comes without; that of an expired session is followed by a retry, not by an end. */
static __always_inline bool has_payload(const struct aod_request *request)
{
	return request->command == SMB2_READ && request->flags & AOD_ASYNC &&
	       !is_failure(request->status) && setting(AOD_SETTING_PAYLOADS);
}

static __always_inline int response_received(struct TCP_Server_Info *server, const void *buffer)
{
	struct aod_request_key key = {};
	struct aod_request *request;
	struct smb2_header header;

	if (bpf_probe_read_kernel(&header, sizeof(header), buffer) ||
	    header.protocol_id != SMB2_PROTOCOL_ID)
		return 0;
	count(AOD_COUNT_PDUS);
	if (header.message_id == ~0ULL) {
		count(AOD_COUNT_BREAKS);
		return 0;
	}
	key.connection_id = connection_of(server);
	key.message_id = header.message_id;
	request = find_request(&key);
	if (request)
		request->credits_granted += header.credits;
	if (header.status == SMB2_STATUS_PENDING) {
		count(AOD_COUNT_INTERIM);
		if (request && !request->pended_ns) {
			request->pended_ns = bpf_ktime_get_ns();
			request->flags |= AOD_PENDED;
		}
		return 0;
	}
	if (!request) {
		count(is_earlier(&key) ? AOD_COUNT_EARLIER : AOD_COUNT_UNMATCHED);
		return 0;
	}
	request->status = header.status;
	if (has_payload(request)) {
		request->response_bytes = response_bytes_of(server);
		request->response_ns = bpf_ktime_get_ns();
		return 0;
	}
	complete(&key, request, server);
	return 0;
}

static __always_inline int error_of(int mid_state)
{
	switch (mid_state) {
	case MID_RETRY_NEEDED:
		return -EAGAIN;
	case MID_SHUTDOWN:
		return -EHOSTDOWN;
	default:
		return -EIO;
	}
}

/* The last that cifs does with a request: it has its payload, or was given up. */
static __always_inline int request_ended(void *first, void *second, bool may_have_payload)
{
	struct ending ended = {.kind = AOD_ABORTED};
	struct aod_request_key key = {};
	struct TCP_Server_Info *server = first;
	struct mid_q_entry *mid = second;
	struct aod_request *request;
	bool is_answered;
	int mid_state;

	if (bpf_core_field_exists(struct mid_q_entry___old, server))
		mid = first;
	mid_state = BPF_CORE_READ(mid, mid_state);
	is_answered = mid_state == MID_RESPONSE_RECEIVED || mid_state == MID_RESPONSE_READY;
	/* Nearly always: the response has told all. */
	if (is_answered && !may_have_payload)
		return 0;
	if (bpf_core_field_exists(struct mid_q_entry___old, server))
		server = BPF_CORE_READ((struct mid_q_entry___old *)mid, server);
	key.connection_id = connection_of(server);
	key.message_id = BPF_CORE_READ(mid, mid);
	request = find_request(&key);
	if (!request)
		return 0;
	if (is_answered) {
		if (request->response_ns)
			complete(&key, request, server);
		return 0;
	}
	/* A READ that was answered and lost its payload: its PDU was counted. */
	count(request->response_ns ? AOD_COUNT_COMPLETED : AOD_COUNT_ABORTED);
	ended.time_ns = bpf_ktime_get_ns();
	ended.error = error_of(mid_state);
	note_failure(request, ended.time_ns);
	emit(&key, request, server, &ended);
	forget_request(&key);
	return 0;
}

static __always_inline int entered(bool is_async)
{
	struct aod_wait *wait = this_thread();

	if (!wait)
		return 0;
	/* Credits of before are this call's only if nothing was sent since. */
	if (!is_async || wait->sent_ns)
		wait->credits_ns = 0;
	wait->entered_ns = bpf_ktime_get_ns();
	wait->is_async = is_async;
	wait->sent_ns = 0;
	return 0;
}

/* Async READ and WRITE take their credits before they enter cifs_call_async. */
static __always_inline int credits_awaited(void)
{
	struct aod_wait *wait = this_thread();

	if (!wait)
		return 0;
	wait->entered_ns = wait->credits_ns = bpf_ktime_get_ns();
	wait->is_async = false;
	wait->sent_ns = 0;
	return 0;
}

#endif
