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
#include "commands.h"
#include "credits.h"
#include "lifecycle.h"
#include "operations.h"
#include "receive.h"
#include "send.h"

/* P0: when a thread enters cifs. */

SEC("?kprobe/compound_send_recv")
int compound_send_recv(struct pt_regs *ctx)
{
	return note_entry(false);
}

SEC("?kprobe/cifs_call_async")
int cifs_call_async(struct pt_regs *ctx)
{
	return note_entry(true);
}

SEC("?kprobe/smb2_wait_mtu_credits")
int BPF_KPROBE(smb2_wait_mtu_credits, struct TCP_Server_Info *server)
{
	return mtu_credits_entered(server);
}

/* P1 and P2: what is sent, what is received. */

SEC("?kprobe/smb_send_rqst")
int BPF_KPROBE(smb_send_rqst, struct TCP_Server_Info *server, int requests, struct smb_rqst *rqst,
	       int flags)
{
	return request_sent(server, requests, rqst, flags);
}

SEC("?kprobe/__smb2_find_mid")
int BPF_KPROBE(find_mid, struct TCP_Server_Info *server, void *buffer)
{
	return response_received(server, buffer);
}

/* P3: what cifs does last with a request. */

SEC("?kprobe/cifs_compound_callback")
int BPF_KPROBE(cifs_compound_callback, void *first, void *second)
{
	return request_ended(first, second, false);
}

SEC("?kprobe/smb2_readv_callback")
int BPF_KPROBE(smb2_readv_callback, void *first, void *second)
{
	return request_ended(first, second, true);
}

SEC("?kprobe/smb2_writev_callback")
int BPF_KPROBE(smb2_writev_callback, void *first, void *second)
{
	return request_ended(first, second, false);
}

SEC("?kprobe/smb2_echo_callback")
int BPF_KPROBE(smb2_echo_callback, void *first, void *second)
{
	return request_ended(first, second, false);
}

/* P4: connections and sessions. Raw tracepoints need no tracefs, which containers lack. */

SEC("?raw_tp/smb3_reconnect")
int smb3_reconnect(const __u64 *arguments)
{
	return reconnected(arguments, AOD_CAUSE_RECONNECT);
}

SEC("?raw_tp/smb3_partial_send_reconnect")
int smb3_partial_send_reconnect(const __u64 *arguments)
{
	return reconnected(arguments, AOD_CAUSE_PARTIAL_SEND);
}

SEC("?raw_tp/smb3_ses_expired")
int BPF_PROG(smb3_ses_expired, __u32 tree_id, __u64 session_id, __u16 command, __u64 message_id)
{
	return session_expired(tree_id, session_id, command, message_id);
}

SEC("?raw_tp/smb3_credit_timeout")
int smb3_credit_timeout(const __u64 *arguments)
{
	return credits_changed(arguments, AOD_CAUSE_CREDITS_TIMEOUT);
}

SEC("?raw_tp/smb3_insufficient_credits")
int smb3_insufficient_credits(const __u64 *arguments)
{
	return credits_changed(arguments, AOD_CAUSE_CREDITS_INSUFFICIENT);
}

SEC("?raw_tp/smb3_too_many_credits")
int smb3_too_many_credits(const __u64 *arguments)
{
	return credits_changed(arguments, AOD_CAUSE_CREDITS_OVERFLOW);
}

SEC("?raw_tp/smb3_reconnect_detected")
int smb3_reconnect_detected(const __u64 *arguments)
{
	return credits_changed(arguments, AOD_CAUSE_CREDITS_OUTDATED);
}

SEC("?raw_tp/smb3_reconnect_with_invalid_credits")
int smb3_invalid_credits(const __u64 *arguments)
{
	return credits_changed(arguments, AOD_CAUSE_CREDITS_INVALID);
}

SEC("?raw_tp/smb3_tcon")
int BPF_PROG(smb3_tcon, unsigned int xid, __u32 tree_id, __u64 session_id, const char *name,
	     int error)
{
	return tree_connected(tree_id, session_id, error);
}

SEC("?raw_tp/smb3_exit_err")
int BPF_PROG(smb3_exit_err, unsigned int xid, const char *function, int error)
{
	return operation_failed(xid, error);
}

/*
 * P5: waits for credits; only for who asks for them, as a kretprobe costs twice a kprobe.
 * The entry of smb2_wait_mtu_credits is in P0.
 */

SEC("?kprobe/wait_for_free_credits")
int BPF_KPROBE(enter_free_credits, struct TCP_Server_Info *server)
{
	return credit_wait_entered(server);
}

SEC("?kretprobe/wait_for_free_credits")
int BPF_KRETPROBE(leave_free_credits, int error)
{
	return credit_wait_left(error);
}

SEC("?kretprobe/smb2_wait_mtu_credits")
int BPF_KRETPROBE(leave_mtu_credits, int error)
{
	return credit_wait_left(error);
}

/* The lowest rung, in place of P0 to P3. */

SEC("?raw_tp/smb3_cmd_enter")
int BPF_PROG(smb3_cmd_enter, __u32 tree_id, __u64 session_id, __u16 command, __u64 message_id)
{
	return command_entered(tree_id, session_id, command, message_id);
}

SEC("?raw_tp/smb3_cmd_done")
int BPF_PROG(smb3_cmd_done, __u32 tree_id, __u64 session_id, __u16 command, __u64 message_id)
{
	return command_left(session_id, command, message_id, 0);
}

SEC("?raw_tp/smb3_cmd_err")
int BPF_PROG(smb3_cmd_err, __u32 tree_id, __u64 session_id, __u16 command, __u64 message_id,
	     __u32 status)
{
	return command_left(session_id, command, message_id, status);
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
