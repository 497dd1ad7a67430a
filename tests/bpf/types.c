// SPDX-License-Identifier: GPL-2.0-only
/*
 * The BTF that stands in for a kernel with cifs: fields where fake_cifs.bpf.c
 * has them. With OLD callbacks are given the mid alone, as until 6.18; without
 * CONN_ID connections have no id, as in 5.10; without CIFS there are none of
 * cifs' types, as where its module has no BTF.
 */
struct task_struct {
	unsigned int flags;
} task;

struct kvec {
	void *iov_base;
	unsigned long iov_len;
} segment;

#ifdef CIFS
struct smb_rqst {
	struct kvec *rq_iov;
	unsigned long long others[5];
} request;

struct TCP_Server_Info {
#ifdef CONN_ID
	unsigned long long conn_id;
#endif
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
#endif
