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

/* 6.19 took the field away: from then on callbacks are given the server beside the mid. */
struct mid_q_entry___old {
	struct TCP_Server_Info *server;
} CO_RE;

enum { CIFS_TRANSFORM_REQ = 0x800 }; /* smb_send_rqst's flag: encrypt */

#endif
