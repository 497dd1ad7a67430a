/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What travels between the BPF programs and user space: the one definition.
 *
 * Included by the BPF programs and read by build.py for cffi, from which the
 * numpy dtype is made; constants are enums so that they reach BTF and cffi.
 * Fields go large to small and padding is spelled out.
 */
#ifndef AOD_EVENT_H
#define AOD_EVENT_H

enum aod_limit {
	AOD_COMM_LEN = 16,   /* TASK_COMM_LEN */
	AOD_COMMANDS = 128,  /* a power of 2; SMB2 has 0 (NEGOTIATE) to 19 */
	AOD_ERRNOS = 4096,   /* MAX_ERRNO and 0 */
	AOD_BUCKETS = 28,    /* of latency: up to 2^27 us, 134 s, and what is over */
	AOD_LEDGER_ROW = 16, /* counters of a CPU: two cache lines, AOD_COUNTS of them in use */
	AOD_SLOTS = 4096,    /* a connection has at most 512 requests open by default */
};

enum aod_kind {
	AOD_COMPLETED = 1,
	AOD_ABORTED = 2,
	AOD_UNSENT = 3,
	AOD_RECONNECT = 4,
	AOD_SESSION_EXPIRED = 5,
	AOD_CREDIT_WAIT = 6,
	AOD_WAITING = 7,      /* a thread waits to send: it has no request yet */
	AOD_UNANSWERED = 8,   /* both are made by user space, of what is open */
	AOD_TREE_CONNECT = 9, /* names have changed */
};

/* Why: of AOD_RECONNECT the first two, of AOD_CREDIT_WAIT the others. */
enum aod_cause {
	AOD_CAUSE_RECONNECT = 1,
	AOD_CAUSE_PARTIAL_SEND = 2,
	AOD_CAUSE_CREDITS_AWAITED = 3,      /* over 1 ms, or in vain */
	AOD_CAUSE_CREDITS_TIMEOUT = 4,      /* smb3_credit_timeout */
	AOD_CAUSE_CREDITS_INSUFFICIENT = 5, /* smb3_insufficient_credits */
	AOD_CAUSE_CREDITS_OVERFLOW = 6,     /* smb3_too_many_credits */
	AOD_CAUSE_CREDITS_OUTDATED = 7,     /* smb3_reconnect_detected */
	AOD_CAUSE_CREDITS_INVALID = 8,      /* smb3_reconnect_with_invalid_credits */
};

enum aod_flag {
	AOD_PENDED = 1,  /* the server sent STATUS_PENDING first */
	AOD_RELATED = 2, /* SMB2_FLAGS_RELATED_OPERATIONS */
	AOD_ENCRYPTED = 4,
	AOD_WRITEBACK = 8,  /* a WRITE sent by a kernel thread */
	AOD_SECONDARY = 16, /* a related request that failed as the one before it */
	AOD_SELF = 32,      /* sent by aod or one of its children */
	AOD_ASYNC = 64,     /* sent by cifs_call_async: nobody waits in the kernel */
};

/* Per-CPU counters: the index in a row of the map `ledger`. */
enum aod_count {
	AOD_COUNT_REQUESTS, /* seen by smb_send_rqst */
	AOD_COUNT_COMPLETED,
	AOD_COUNT_ABORTED,   /* given up by cifs, or overwritten after a reconnect */
	AOD_COUNT_UNTRACKED, /* map full, or a header that could not be read */
	AOD_COUNT_PDUS,      /* seen by __smb2_find_mid */
	AOD_COUNT_INTERIM,   /* STATUS_PENDING */
	AOD_COUNT_BREAKS,    /* MessageId ~0: sent by the server unasked */
	AOD_COUNT_UNMATCHED, /* a response whose request was not seen */
	AOD_COUNT_EARLIER,   /* the same, when it was sent before the probes were attached */
	AOD_COUNT_EVENTS,    /* meant for the ring `events` */
	AOD_COUNT_LOST,      /* of these, dropped because the ring was full */
	AOD_COUNT_UNCOUNTED, /* completed requests for which `counters` had no room */
	AOD_COUNT_CROWDED,   /* requests whose slot was taken: they went into `inflight` */
	AOD_COUNTS,
};

struct aod_ledger_row {
	__u64 counts[AOD_LEDGER_ROW];
};

struct aod_event {
	__u64 time_ns;    /* CLOCK_MONOTONIC of the completion */
	__u64 latency_ns; /* what the caller waited */
	__u64 queue_ns;   /* of it, before the send: credits, send mutex */
	__u64 pended_ns;  /* send to STATUS_PENDING */
	__u64 payload_ns; /* response header to end of payload */
	__u64 connection_id;
	__u64 message_id;
	__u64 session_id;
	__u64 file_id; /* persistent FileId; 0 = none */
	__u64 cgroup_id;
	__u32 tree_id;
	__u32 status;         /* NTSTATUS of the response */
	__s32 error;          /* negative errno, 0 = none */
	__u32 flags;          /* enum aod_flag */
	__u32 request_bytes;  /* first segment, and a WRITE's payload */
	__u32 response_bytes; /* PDU, transform header and compound included */
	__u32 in_flight;      /* requests on the connection at the completion */
	__u32 pid;            /* tgid of the sender */
	__u32 tid;
	__u32 uid;
	__u16 command;
	__u16 credits_granted;
	__u8 kind; /* enum aod_kind */
	__u8 compound_index;
	__u8 cause; /* enum aod_cause */
	__u8 pad[1];
	char comm[AOD_COMM_LEN];
};

/* The maps `slots` and `inflight`: requests that were sent and not answered. */
struct aod_request_key {
	__u64 connection_id;
	__u64 message_id;
};

struct aod_request {
	__u64 started_ns; /* the caller entered cifs */
	__u64 sent_ns;
	__u64 pended_ns;   /* CLOCK_MONOTONIC of the first STATUS_PENDING, or 0 */
	__u64 response_ns; /* of a READ whose payload is still awaited, or 0 */
	__u64 session_id;
	__u64 file_id;
	__u64 cgroup_id;
	__u32 tree_id;
	__u32 previous_status; /* failure of the request before in the compound */
	__u32 status;          /* with response_ns */
	__s32 error;           /* what its operation failed with, while it was unanswered */
	__u32 request_bytes;
	__u32 response_bytes;
	__u32 payload_bytes; /* Length of a READ or WRITE */
	__u32 pid;
	__u32 tid;
	__u32 uid;
	__u16 command;
	__u16 credits_granted;
	__u8 flags;
	__u8 compound_index;
	__u8 next_distance; /* to the message id of the next request of the compound; 0 = none */
	__u8 pad[1];
	char comm[AOD_COMM_LEN];
};

struct aod_slot {
	__u64 claims; /* 0: free, 1: taken, more: wanted by others in vain */
	struct aod_request_key key;
	struct aod_request request;
};

/* The map `waiting`: threads on their way to smb_send_rqst, and what came of it. */
struct aod_wait {
	__u64 entered_ns;    /* compound_send_recv or cifs_call_async */
	__u64 credits_ns;    /* smb2_wait_mtu_credits before cifs_call_async, or 0 */
	__u64 sent_ns;       /* smb_send_rqst after it; 0: it waits to send */
	__u64 failed_ns;     /* a request of the thread failed; 0: none, or it was told */
	__u64 connection_id; /* the first request that it sent last; 0: that was told */
	__u64 message_id;
	__u32 failed_xid; /* the last operation that ended by such a failure */
	__u32 is_async;   /* entered by cifs_call_async */
};

/* The map `credit_waits`: threads inside of a function that waits for credits. */
struct aod_credit_wait {
	__u64 entered_ns;
	__u64 server;
};

/* A set of commands: bit `command % 64` of word `command / 64`. */
struct aod_commands {
	__u64 words[AOD_COMMANDS / 64];
};

/* Index in the map `settings`. */
enum aod_setting {
	AOD_SETTING_FAILURES,  /* failures are sent unless excepted */
	AOD_SETTING_KINDS,     /* bit per enum aod_kind: lifecycle events that are sent */
	AOD_SETTING_PAYLOADS,  /* the callback of async READs is seen */
	AOD_SETTING_SECONDARY, /* failures flagged AOD_SECONDARY are sent as others are */
	AOD_SETTING_OWN,       /* how many processes aod has besides itself */
	AOD_SETTINGS,
};

/* The map `counters`: every completed request that is not aod's own. */
struct aod_counter_key {
	__u64 connection_id;
	__u32 tree_id;
	__u16 command;
	__u8 pad[2];
};

struct aod_counter {
	__u64 total_ns;
	__u64 errors; /* status of severity warning or error */
	__u64 bytes;  /* payload of READ and WRITE */
	__u64 longest_ns;
	/* Bucket b: 2^b to 2^(b+1) us; the first also what is less, the last what is more. */
	__u64 latency[AOD_BUCKETS];
};

/* Context of the program `generate`: emit `event` so many times. */
struct aod_generate {
	__u64 count;
	struct aod_event event;
};

#endif
