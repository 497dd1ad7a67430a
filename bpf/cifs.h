/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The CO-RE view of cifs.ko and of the little of the kernel that is needed.
 *
 * Only the fields that are read; libbpf finds their offsets in the BTF of the
 * running kernel. One name each in 16 of 16 modules from 5.15 to 7.3.
 */
#ifndef AOD_CIFS_H
#define AOD_CIFS_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/errno.h>

/* The layout that bpf_tracing.h expects of vmlinux.h; it is the kernel's ABI. */
#define __VMLINUX_H__
#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8;
	unsigned long ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	__u64 regs[31];
	__u64 sp, pc, pstate;
};
struct pt_regs;
#endif

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

#define CO_RE __attribute__((preserve_access_index))

enum { PF_KTHREAD = 0x00200000 };

struct task_struct {
	unsigned int flags;
} CO_RE;

/* The layout of struct iovec, which is the kernel's ABI. */
struct kvec {
	void *iov_base;
	unsigned long iov_len;
};

struct smb_rqst {
	struct kvec *rq_iov;
} CO_RE;

enum { MAX_COMPOUND = 16 }; /* the kernel's is 7 to 10 */

struct TCP_Server_Info {
	__u64 conn_id;
	unsigned int pdu_size;
	int credits;
	unsigned int in_flight;
} CO_RE;

enum mid_state {
	MID_RESPONSE_RECEIVED = 4,
	MID_RETRY_NEEDED = 8,
	MID_RESPONSE_MALFORMED = 0x10,
	MID_SHUTDOWN = 0x20,
	MID_RESPONSE_READY = 0x40,
	MID_RC = 0x80,
};

struct mid_q_entry {
	__u64 mid;
	int mid_state;
} CO_RE;

/* Until 6.18; then callbacks are given the server beside the mid, and the field is gone. */
struct mid_q_entry___old {
	struct TCP_Server_Info *server;
} CO_RE;

/* On the wire (MS-SMB2 2.2.1), little-endian; __packed for the offsets' sake. */
enum smb2 {
	SMB2_PROTOCOL_ID = 0x424d53fe,
	SMB2_FLAGS_RELATED = 4,
	SMB2_STATUS_PENDING = 0x103,
	SMB2_STATUS_ERROR = 0x80000000, /* severity: warning or error */
	SMB2_STATUS_BUFFER_OVERFLOW = 0x80000005,
};

enum smb2_command {
	SMB2_SESSION_SETUP = 1,
	SMB2_CLOSE = 6,
	SMB2_FLUSH = 7,
	SMB2_READ = 8,
	SMB2_WRITE = 9,
	SMB2_LOCK = 10,
	SMB2_IOCTL = 11,
	SMB2_ECHO = 13,
	SMB2_QUERY_DIRECTORY = 14,
	SMB2_CHANGE_NOTIFY = 15,
	SMB2_QUERY_INFO = 16,
	SMB2_SET_INFO = 17,
};

/* Sets of commands, a bit each. */
enum smb2_commands {
	SMB2_WITH_PAYLOAD = 1 << SMB2_READ | 1 << SMB2_WRITE,
	SMB2_FILE_AT_72 = 1 << SMB2_CLOSE | 1 << SMB2_FLUSH | 1 << SMB2_LOCK | 1 << SMB2_IOCTL |
			  1 << SMB2_QUERY_DIRECTORY | 1 << SMB2_CHANGE_NOTIFY,
	SMB2_FILE_AT_80 = 1 << SMB2_READ | 1 << SMB2_WRITE | 1 << SMB2_SET_INFO,
	SMB2_FILE_AT_88 = 1 << SMB2_QUERY_INFO,
};

/* A shift and no comparison, from which the verifier would follow each command by itself. */
static __always_inline bool is_one_of(__u16 command, __u32 commands)
{
	return commands >> (command & 31) & 1;
}

struct smb2_header {
	__u32 protocol_id;
	__u16 structure_size;
	__u16 credit_charge;
	__u32 status;
	__u16 command;
	__u16 credits;
	__u32 flags;
	__u32 next_command;
	__u64 message_id;
} __attribute__((packed));

struct smb2_request {
	struct smb2_header header;
	__u32 process_id;
	__u32 tree_id;
	__u64 session_id;
	__u8 signature[16];
	__u32 body;
	__u32 length;           /* READ and WRITE */
	__u64 at72, at80, at88; /* where the commands keep their FileId */
} __attribute__((packed));

enum { CIFS_TRANSFORM_REQ = 0x800 }; /* smb_send_rqst's flag: encrypt */

#endif
