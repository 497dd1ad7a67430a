/* SPDX-License-Identifier: GPL-2.0-only */
/* What is read of the objects of cifs, whichever of them this kernel tells the types of. */
#ifndef AOD_ACCESSORS_H
#define AOD_ACCESSORS_H

#include "smb2.h"

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

static __always_inline __u16 credits_of(struct TCP_Server_Info *server)
{
	if (bpf_core_field_exists(server->credits))
		return BPF_CORE_READ(server, credits);
	return 0;
}

static __always_inline bool is_kernel_thread(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	if (bpf_core_field_exists(task->flags))
		return BPF_CORE_READ(task, flags) & PF_KTHREAD;
	return false;
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

/* A callback's request and its server: what it is called with differs, see cifs.h. */
static __always_inline struct mid_q_entry *mid_of(void *first, void *second)
{
	return bpf_core_field_exists(struct mid_q_entry___old, server) ? first : second;
}

static __always_inline struct TCP_Server_Info *server_of_callback(void *first)
{
	if (bpf_core_field_exists(struct mid_q_entry___old, server))
		return BPF_CORE_READ((struct mid_q_entry___old *)first, server);
	return first;
}

#endif
