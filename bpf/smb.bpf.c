// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sees every SMB2/3 request leave and return.
 *
 * A request is sent by smb_send_rqst and found again by __smb2_find_mid, for
 * plain, encrypted and offloaded-decrypt responses alike; both are out of line
 * and of one prototype from 5.15 to 7.3. It is known by {connection, MessageId}:
 * message ids collide across channels, and the final response of a pended
 * request carries an AsyncId where the tree id was.
 */
#include "ring.h"

/* Above the default of 32000 credits of a connection; a full map is counted. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 40960);
	__type(key, struct aod_request_key);
	__type(value, struct aod_request);
} inflight SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct aod_counter_key);
	__type(value, struct aod_counter);
} counters SEC(".maps");

/* Thread -> when it entered cifs. LRU: a thread that fails before the send leaves its entry. */
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

static __always_inline __u64 file_id_of(const struct smb2_request *wire)
{
	__u64 file_id = 0;

	switch (wire->header.command) {
	case SMB2_READ:
	case SMB2_WRITE:
	case SMB2_SET_INFO:
		file_id = wire->at80;
		break;
	case SMB2_CLOSE:
	case SMB2_FLUSH:
	case SMB2_LOCK:
	case SMB2_IOCTL:
	case SMB2_QUERY_DIRECTORY:
	case SMB2_CHANGE_NOTIFY:
		file_id = wire->at72;
		break;
	case SMB2_QUERY_INFO:
		file_id = wire->at88;
		break;
	}
	/* ~0 in a related request means: the file of the request before it. */
	return file_id == ~0ULL ? 0 : file_id;
}

static __always_inline bool is_kernel_thread(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, flags) & PF_KTHREAD;
}

static __always_inline bool is_own(__u32 pid)
{
	return bpf_map_lookup_elem(&own_processes, &pid);
}

static __noinline void emit(const struct aod_request_key *key, const struct aod_request *request,
			    struct TCP_Server_Info *server, struct aod_event *ended)
{
	struct aod_event *event = reserve_event();

	if (!event)
		return;
	event->time_ns = ended->time_ns;
	event->latency_ns = ended->time_ns - request->started_ns;
	event->queue_ns = request->sent_ns - request->started_ns;
	if (request->pended_ns)
		event->pended_ns = request->pended_ns - request->sent_ns;
	event->connection_id = key->connection_id;
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
	event->in_flight = BPF_CORE_READ(server, in_flight);
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

/* An entry that a new request would replace: message ids restart at 0 after a reconnect. */
static __noinline void abort_overwritten(const struct aod_request_key *key,
					 struct TCP_Server_Info *server, __u64 now)
{
	struct aod_event ended = {
		.time_ns = now,
		.kind = AOD_ABORTED,
		.error = -EAGAIN,
	};
	struct aod_request *old = bpf_map_lookup_elem(&inflight, key);

	if (!old)
		return;
	count(AOD_COUNT_ABORTED);
	emit(key, old, server, &ended);
	bpf_map_delete_elem(&inflight, key);
}

static __always_inline void remember(const struct aod_request_key *key,
				     const struct aod_request *request,
				     struct TCP_Server_Info *server)
{
	if (!bpf_map_update_elem(&inflight, key, request, BPF_NOEXIST))
		return;
	abort_overwritten(key, server, request->sent_ns);
	if (bpf_map_update_elem(&inflight, key, request, BPF_NOEXIST))
		count(AOD_COUNT_UNTRACKED);
}

/* Take the thread's start time for a request that it sends at `now`. */
static __always_inline struct aod_wait take_wait(__u32 tid, __u64 now)
{
	struct aod_wait wait = {.entered_ns = now};
	struct aod_wait *found = bpf_map_lookup_elem(&waiting, &tid);

	if (found) {
		wait = *found;
		bpf_map_delete_elem(&waiting, &tid);
	}
	return wait;
}

static __always_inline bool has_payload_credits(__u16 command)
{
	return command == SMB2_READ || command == SMB2_WRITE;
}

static __always_inline int read_request(const struct smb_rqst *rqst, struct smb2_request *wire,
					__u32 *bytes)
{
	struct kvec *segments = BPF_CORE_READ(rqst, rq_iov);
	void *buffer = BPF_CORE_READ(segments, iov_base);

	/* Request buffers are at least 448 bytes: reading past a short body is safe. */
	if (bpf_probe_read_kernel(wire, sizeof(*wire), buffer))
		return -EFAULT;
	*bytes = BPF_CORE_READ(segments, iov_len);
	return 0;
}

static __always_inline int request_sent(struct TCP_Server_Info *server, int requests,
					struct smb_rqst *rqst, int flags)
{
	__u64 now = bpf_ktime_get_ns(), process = bpf_get_current_pid_tgid();
	struct aod_request_key key = {.connection_id = connection_of(server)};
	struct aod_request request = {
		.sent_ns = now,
		.cgroup_id = bpf_get_current_cgroup_id(),
		.pid = process >> 32,
		.tid = process,
		.uid = bpf_get_current_uid_gid(),
	};
	struct aod_wait wait = take_wait(request.tid, now);
	__u64 next_message_id = 0;

	bpf_get_current_comm(request.comm, sizeof(request.comm));
	/* Last first, so that each knows the message id of the one after it. */
	for (int i = AOD_MAX_COMPOUND - 1; i >= 0; i--) {
		struct smb2_request wire;

		if (i >= requests)
			continue;
		if (read_request((void *)rqst + i * bpf_core_type_size(struct smb_rqst), &wire,
				 &request.request_bytes)) {
			count(AOD_COUNT_REQUESTS);
			count(AOD_COUNT_UNTRACKED);
			continue;
		}
		if (wire.header.protocol_id != SMB2_PROTOCOL_ID)
			continue;
		count(AOD_COUNT_REQUESTS);
		request.command = wire.header.command;
		request.started_ns = wait.entered_ns;
		if (wait.credits_ns && has_payload_credits(request.command))
			request.started_ns = wait.credits_ns;
		request.session_id = wire.session_id;
		request.tree_id = wire.tree_id;
		request.file_id = file_id_of(&wire);
		request.payload_bytes = 0;
		if (has_payload_credits(request.command))
			request.payload_bytes = wire.length;
		if (request.command == SMB2_WRITE)
			request.request_bytes += wire.length;
		request.next_message_id = next_message_id;
		request.compound_index = i;
		request.flags = 0;
		if (wire.header.flags & SMB2_FLAGS_RELATED)
			request.flags |= AOD_RELATED;
		if (wait.is_async)
			request.flags |= AOD_ASYNC;
		if (flags & CIFS_TRANSFORM_REQ)
			request.flags |= AOD_ENCRYPTED;
		if (request.command == SMB2_WRITE && is_kernel_thread())
			request.flags |= AOD_WRITEBACK;
		key.message_id = next_message_id = wire.header.message_id;
		remember(&key, &request, server);
	}
	return 0;
}

/* Tell the next request of the compound how this one failed. */
static __always_inline void pass_failure_on(const struct aod_request_key *key,
					    const struct aod_request *request, __u32 status)
{
	struct aod_request_key next_key = *key;
	struct aod_request *next;

	if (!request->next_message_id || !is_failure(status))
		return;
	next_key.message_id = request->next_message_id;
	next = bpf_map_lookup_elem(&inflight, &next_key);
	if (next)
		next->previous_status = status;
}

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

static __always_inline void count_latency(const struct aod_request_key *key,
					  const struct aod_request *request, __u64 latency_ns)
{
	struct aod_counter_key counter_key = {
		.connection_id = key->connection_id,
		.tree_id = request->tree_id,
		.command = request->command,
	};
	static const struct aod_counter nothing;
	struct aod_counter *counter;
	__u32 bucket;

	if (is_own(request->pid))
		return;
	counter = bpf_map_lookup_elem(&counters, &counter_key);
	if (!counter) {
		bpf_map_update_elem(&counters, &counter_key, &nothing, BPF_NOEXIST);
		counter = bpf_map_lookup_elem(&counters, &counter_key);
	}
	if (!counter) {
		count(AOD_COUNT_UNCOUNTED);
		return;
	}
	__sync_fetch_and_add(&counter->requests, 1);
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

static __always_inline void complete(const struct aod_request_key *key, struct aod_request *request,
				     struct TCP_Server_Info *server)
{
	struct aod_event ended = {
		.time_ns = bpf_ktime_get_ns(),
		.kind = AOD_COMPLETED,
		.status = request->status,
	};

	count(AOD_COUNT_COMPLETED);
	count_latency(key, request, ended.time_ns - request->started_ns);
	if (is_failure(ended.status) && request->flags & AOD_RELATED &&
	    request->previous_status == ended.status)
		ended.flags = AOD_SECONDARY;
	pass_failure_on(key, request, ended.status);
	if (is_slow(ended.time_ns - request->started_ns, request->command,
		    request->flags & AOD_PENDED) ||
	    is_wanted_status(ended.status, request->command)) {
		ended.response_bytes = BPF_CORE_READ(server, pdu_size);
		if (request->response_ns) {
			ended.payload_ns = ended.time_ns - request->response_ns;
			ended.response_bytes = request->response_bytes;
		}
		emit(key, request, server, &ended);
	}
	bpf_map_delete_elem(&inflight, key);
}

static __always_inline bool has_payload(const struct aod_request *request)
{
	return request->command == SMB2_READ && request->flags & AOD_ASYNC;
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
	request = bpf_map_lookup_elem(&inflight, &key);
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
		count(AOD_COUNT_UNMATCHED);
		return 0;
	}
	request->status = header.status;
	if (has_payload(request)) {
		request->response_bytes = BPF_CORE_READ(server, pdu_size);
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
static __always_inline int request_ended(void *first, void *second)
{
	struct aod_event ended = {.kind = AOD_ABORTED};
	struct aod_request_key key = {};
	struct TCP_Server_Info *server = first;
	struct mid_q_entry *mid = second;
	struct aod_request *request;
	int mid_state;

	if (bpf_core_field_exists(struct mid_q_entry___old, server)) {
		mid = first;
		server = BPF_CORE_READ((struct mid_q_entry___old *)mid, server);
	}
	key.connection_id = connection_of(server);
	key.message_id = BPF_CORE_READ(mid, mid);
	request = bpf_map_lookup_elem(&inflight, &key);
	if (!request)
		return 0;
	mid_state = BPF_CORE_READ(mid, mid_state);
	if (mid_state == MID_RESPONSE_RECEIVED || mid_state == MID_RESPONSE_READY) {
		if (request->response_ns)
			complete(&key, request, server);
		return 0;
	}
	/* A READ that was answered and lost its payload: its PDU was counted. */
	count(request->response_ns ? AOD_COUNT_COMPLETED : AOD_COUNT_ABORTED);
	ended.time_ns = bpf_ktime_get_ns();
	ended.error = error_of(mid_state);
	emit(&key, request, server, &ended);
	bpf_map_delete_elem(&inflight, &key);
	return 0;
}

static __always_inline int entered(bool is_async)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct aod_wait wait = {.entered_ns = bpf_ktime_get_ns(), .is_async = is_async};
	struct aod_wait *before;

	if (is_async) {
		before = bpf_map_lookup_elem(&waiting, &tid);
		if (before)
			wait.credits_ns = before->credits_ns;
	}
	bpf_map_update_elem(&waiting, &tid, &wait, BPF_ANY);
	return 0;
}

/* Async READ and WRITE take their credits before they enter cifs_call_async. */
static __always_inline int credits_awaited(void)
{
	__u32 tid = bpf_get_current_pid_tgid();
	__u64 now = bpf_ktime_get_ns();
	struct aod_wait wait = {.entered_ns = now, .credits_ns = now};

	bpf_map_update_elem(&waiting, &tid, &wait, BPF_ANY);
	return 0;
}

SEC("kprobe/compound_send_recv")
int compound_send_recv(struct pt_regs *ctx)
{
	return entered(false);
}

SEC("kprobe/cifs_call_async")
int cifs_call_async(struct pt_regs *ctx)
{
	return entered(true);
}

SEC("kprobe/smb2_wait_mtu_credits")
int smb2_wait_mtu_credits(struct pt_regs *ctx)
{
	return credits_awaited();
}

SEC("kprobe/smb_send_rqst")
int BPF_KPROBE(smb_send_rqst, struct TCP_Server_Info *server, int requests, struct smb_rqst *rqst,
	       int flags)
{
	return request_sent(server, requests, rqst, flags);
}

SEC("kprobe/__smb2_find_mid")
int BPF_KPROBE(find_mid, struct TCP_Server_Info *server, void *buffer)
{
	return response_received(server, buffer);
}

SEC("kprobe/cifs_compound_callback")
int BPF_KPROBE(cifs_compound_callback, void *first, void *second)
{
	return request_ended(first, second);
}

SEC("kprobe/smb2_readv_callback")
int BPF_KPROBE(smb2_readv_callback, void *first, void *second)
{
	return request_ended(first, second);
}

SEC("kprobe/smb2_writev_callback")
int BPF_KPROBE(smb2_writev_callback, void *first, void *second)
{
	return request_ended(first, second);
}

SEC("kprobe/smb2_echo_callback")
int BPF_KPROBE(smb2_echo_callback, void *first, void *second)
{
	return request_ended(first, second);
}

static long generate_one(__u32 index, void *template)
{
	struct aod_event *event = reserve_event();

	if (!event)
		return 0;
	__builtin_memcpy(event, template, sizeof(*event));
	event->message_id = index;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* Fills the ring without cifs: for tests and for `aod doctor --fire`. */
SEC("?syscall")
int generate(struct aod_generate *ctx)
{
	struct aod_event template = ctx->event;

	return bpf_loop(ctx->count, generate_one, &template, 0);
}

char LICENSE[] SEC("license") = "GPL";
