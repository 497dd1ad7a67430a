"""Every probe of the BPF object, and the rungs of the ladder that use them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Probe:
    """A program of bpf/smb.bpf.c, and what is known by it."""

    program: str
    shows: str


SEND = Probe("smb_send_rqst", "each request as it is sent")
RECEIVE = Probe("find_mid", "each response as it is received")
ENTRIES = (
    Probe("smb2_wait_mtu_credits", "the wait for credits of async reads and writes"),
    Probe("cifs_call_async", "the time before an async request is sent"),
    Probe("compound_send_recv", "the time before a sync request is sent"),
)
PAYLOAD = Probe("smb2_readv_callback", "the time in which the data of a READ came")
CALLBACKS = (
    PAYLOAD,
    Probe("smb2_writev_callback", "async writes that cifs gave up"),
    Probe("smb2_echo_callback", "echoes that cifs gave up"),
    Probe("cifs_compound_callback", "sync requests that cifs gave up"),
)
LIFECYCLE = (
    Probe("smb3_reconnect", "reconnects"),
    Probe("smb3_partial_send_reconnect", "reconnects after a request was sent in part"),
    Probe("smb3_ses_expired", "sessions that expired"),
    Probe("smb3_credit_timeout", "credits that were not granted in time"),
    Probe("smb3_insufficient_credits", "credits that did not suffice"),
    Probe("smb3_too_many_credits", "credits over the limit"),
    Probe("smb3_reconnect_detected", "credits of a connection that was replaced"),
    Probe("smb3_invalid_credits", "credits lost by a reconnect"),
    Probe("smb3_tcon", "shares as they are connected"),
    Probe("smb3_exit_err", "operations that fail without a request"),
)
CREDITS = (
    Probe("leave_free_credits", "the end of a wait for credits"),
    Probe("enter_free_credits", "a wait for credits"),
    Probe("leave_mtu_credits", "the end of a wait for credits of async reads and writes"),
)
"""Attached only when an anomaly of type Credits is watched for."""
COMMANDS = (
    Probe("smb3_cmd_err", "requests that failed"),
    Probe("smb3_cmd_done", "requests that succeeded"),
    Probe("smb3_cmd_enter", "requests as they are sent"),
)


@dataclass(frozen=True, slots=True)
class Rung:
    """A way to see requests: `needed` must all attach, `optional` may be missing.

    Both are in the order of attaching: what is seen leaving must be seen returning.
    """

    number: int
    name: str
    optional: tuple[Probe, ...]
    needed: tuple[Probe, ...]
    lacks: str = ""


LADDER = (
    Rung(
        1,
        "kprobes, with the types of cifs",
        optional=(*CALLBACKS, *LIFECYCLE, *ENTRIES),
        needed=(RECEIVE, SEND),
    ),
    Rung(
        2,
        "kprobes, without the types of cifs",
        optional=(*LIFECYCLE, *ENTRIES),
        needed=(RECEIVE, SEND),
        lacks="connections have addresses for ids, and what cifs gives up is told late; no time"
        " of payloads, no sizes of responses",
    ),
    Rung(
        5,
        "tracepoints",
        optional=LIFECYCLE,
        needed=COMMANDS,
        lacks="degraded: no connections, no time before the send, no file ids, nothing of ECHO,"
        " and what cifs gives up is told late",
    ),
)
"""From the top down, as numbered in DESIGN; the first that the kernel allows is taken."""
