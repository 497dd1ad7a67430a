/* SPDX-License-Identifier: GPL-2.0-only */
/* SMB2 on the wire (MS-SMB2 2.2.1), little-endian; __packed for the offsets' sake. */
#ifndef AOD_SMB2_H
#define AOD_SMB2_H

#include "cifs.h"

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

static __always_inline bool is_failure(__u32 status)
{
	return status >= SMB2_STATUS_ERROR;
}

#endif
