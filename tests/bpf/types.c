// SPDX-License-Identifier: GPL-2.0-only
/*
 * The BTF that stands in for a kernel with cifs: fields where fake_cifs.bpf.c
 * has them. With OLD callbacks are given the mid alone, as until 6.18.
 */
struct task_struct {
	unsigned int flags;
} task;

struct kvec {
	void *iov_base;
	unsigned long iov_len;
} segment;

struct smb_rqst {
	struct kvec *rq_iov;
} request;

struct TCP_Server_Info {
	unsigned long long conn_id;
	unsigned int pdu_size;
	int credits;
	unsigned int in_flight;
} server;

struct mid_q_entry {
	unsigned long long mid;
	int mid_state;
#ifdef OLD
	struct TCP_Server_Info *server;
#endif
} mid;
