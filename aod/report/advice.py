"""What to look at next: rules that follow from a bundle's evidence, and nothing else does."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aod import text
from aod.report import connections
from aod.report.evidence import Event, Evidence, evidence

MOST = 0.5
"""A part of the waiting that is this large, or of the events, gets a line of its own."""

_CREDENTIALS = "the server refuses the login: a changed password, storage key or Kerberos ticket"
_SESSION = connections.SESSION
_GONE = "the share is not there any more: deleted, renamed or taken offline at the server"
_FULL = "the server has no room left: free space and quotas of the share"
_HELD = "another client or process holds the file: open files and locks at the server"
_SHORT = "the server is short of resources or throttles: its limits and load at that time"
_STORAGE = "the storage behind the server failed: the server's own logs"
_STALE = "handles from before a reconnect are used: applications must open their files again"
_MISSING = "the application asks for files that are not there: its paths, or who removed them"
_DENIED = "permissions at the server (share and file) of the user that the share is mounted as"
_READ_ONLY = "the share or its storage is read-only at the server"

MEANINGS: Mapping[str, tuple[str, str]] = {
    "STATUS_ACCESS_DENIED": (_DENIED, "mounts"),
    "STATUS_NETWORK_ACCESS_DENIED": (_DENIED, "mounts"),
    "STATUS_LOGON_FAILURE": (_CREDENTIALS, "dmesg"),
    "STATUS_WRONG_PASSWORD": (_CREDENTIALS, "dmesg"),
    "STATUS_PASSWORD_EXPIRED": (_CREDENTIALS, "dmesg"),
    "STATUS_ACCOUNT_DISABLED": (_CREDENTIALS, "dmesg"),
    "STATUS_ACCOUNT_LOCKED_OUT": (_CREDENTIALS, "dmesg"),
    "STATUS_NETWORK_SESSION_EXPIRED": (_SESSION, "journalctl"),
    "STATUS_USER_SESSION_DELETED": (_SESSION, "journalctl"),
    "STATUS_NETWORK_NAME_DELETED": (_GONE, "mounts"),
    "STATUS_BAD_NETWORK_NAME": (_GONE, "mounts"),
    "STATUS_DISK_FULL": (_FULL, "smbinfo"),
    "STATUS_QUOTA_EXCEEDED": (_FULL, "smbinfo"),
    "STATUS_SHARING_VIOLATION": (_HELD, "open_files"),
    "STATUS_LOCK_NOT_GRANTED": (_HELD, "open_files"),
    "STATUS_FILE_LOCK_CONFLICT": (_HELD, "open_files"),
    "STATUS_DELETE_PENDING": (_HELD, "open_files"),
    "STATUS_INSUFFICIENT_RESOURCES": (_SHORT, "debugdata"),
    "STATUS_INSUFF_SERVER_RESOURCES": (_SHORT, "debugdata"),
    "STATUS_REQUEST_NOT_ACCEPTED": (_SHORT, "debugdata"),
    "STATUS_IO_TIMEOUT": (_STORAGE, "stats"),
    "STATUS_IO_DEVICE_ERROR": (_STORAGE, "stats"),
    "STATUS_FILE_CLOSED": (_STALE, "dmesg"),
    "STATUS_INVALID_HANDLE": (_STALE, "dmesg"),
    "STATUS_OBJECT_NAME_NOT_FOUND": (_MISSING, "open_files"),
    "STATUS_OBJECT_PATH_NOT_FOUND": (_MISSING, "open_files"),
    "STATUS_MEDIA_WRITE_PROTECTED": (_READ_ONLY, "mounts"),
}
"""What a status usually means, and the action whose file shows more."""


def time_spent(events: Sequence[Event]) -> dict[str, float]:
    """Return the part (0..1) of all waiting that was spent in queue, server and payload."""
    total = sum(event.get("latency_ns", 0) for event in events)
    names = ("queue", "server", "payload")
    if not total:
        return dict.fromkeys(names, 0.0)
    return {name: sum(e.get(f"{name}_ns", 0) for e in events) / total for name in names}


def advise(manifest: Mapping[str, Any]) -> list[str]:
    """Return one sentence or two per rule that applies, the most telling first."""
    found = evidence(manifest)
    return [line for rule in RULES for line in rule(found)] or [_start(found)]


def _hanging(found: Evidence) -> list[str]:
    if not found.hung:
        return []
    pended, begun = _flagged(found.hung, "pended"), sum(_has_begun(e) for e in found.hung)
    unsent = sum(not event.get("command") for event in found.hung)
    lines = []
    if unsent:
        lines.append(
            f"{unsent} of {len(found.hung)} wait to send: for credits, all of which are in use by "
            "requests without an answer, or behind a thread whose send hangs. See the stack above, "
            f"and 'Number of credits', 'In Send' and 'In MaxReq Wait' in {found.file('debugdata')}."
        )
    if pended + unsent < len(found.hung):
        lines.append(
            "The server hangs or the network is gone: in "
            f"{found.file('debugdata')} see the connection's state and what is listed under MIDs, "
            f"in {found.file('dmesg')} look for 'has not responded' and 'reconnect'. Try whether "
            "the server answers at all: ping, TCP port 445, another client."
        )
    if pended:
        lines.append(
            f"The server has {pended} of {len(found.hung)} and is working on them "
            "(STATUS_PENDING): look at its storage and load, and who else has the files open; "
            f"ours are in {found.file('open_files')}."
        )
    if begun:
        lines.append(
            f"{begun} of {len(found.hung)} were answered and wait for their data: bandwidth, lost "
            "packets, or a connection that broke in the middle."
        )
    return lines


def _has_begun(event: Event) -> bool:
    return bool(event.get("payload_ns"))


def _waiting(found: Evidence) -> list[str]:
    part, share = max(time_spent(found.slow).items(), key=lambda item: item[1])
    if not found.slow or share < MOST:
        return []
    percent = text.percent(share)
    busiest = max(event.get("in_flight", 0) for event in found.slow)
    if part == "queue":
        return [
            f"{percent} of the waiting was on this machine, before the requests were sent: for "
            f"credits or the send mutex (up to {busiest} requests in flight). See credits, "
            f"'In Send' and 'In MaxReq Wait' in {found.file('debugdata')}."
        ]
    if part == "payload":
        return [
            f"{percent} of the waiting was for data after the response had begun: bandwidth or "
            f"lost packets. In {found.file('tcpdump')} look for tcp.analysis.retransmission."
        ]
    return [
        f"{percent} of the waiting was between sending and the response: the server or the "
        f"network. In {found.file('tcpdump')} (packets soon after the trigger) compare, with "
        "Wireshark, smb2.time with tcp.analysis.ack_rtt: where acknowledgements take as long as "
        "answers, or tcp.analysis.retransmission finds some, it is the network, else the server. "
        f"Counts per share are in {found.file('stats')}."
    ]


def _pended(found: Evidence) -> list[str]:
    count = _flagged(found.slow, "pended")
    if 2 * count < len(found.slow) or not count:
        return []  # a few are everyday life, and say nothing of the others
    lines = [
        f"The server answered {count} of {len(found.slow)} with STATUS_PENDING first: it had "
        "these requests and was working on them, so look at the server's storage and load, not "
        "at the network."
    ]
    creates = [e for e in found.slow if e.get("command") == "SMB2_CREATE"]
    if _flagged(creates, "pended"):
        lines.append(
            "Pended SMB2_CREATE often waits until another client gives back its lease (up to "
            f"35 s): look at who else has these files open; ours are in {found.file('open_files')}."
        )
    return lines


def _encrypted(found: Evidence) -> list[str]:
    events = [*found.hung, *found.slow, *found.failed]
    count = _flagged(events, "encrypted")
    if not count or "tcpdump" not in found.actions:
        return []
    return [
        f"{count} of {len(events)} were encrypted: in {found.file('tcpdump')} only times and sizes "
        "can be seen, not commands."
    ]


def _writeback(found: Evidence) -> list[str]:
    count = _flagged(found.slow, "writeback")
    if not count:
        return []
    return [
        f"{count} of {len(found.slow)} were writeback by a kernel thread: the process named is "
        "not the one that wrote the data; the file says whose it is."
    ]


def _where(found: Evidence) -> list[str]:
    # A refusal tells of a file's permissions, not of the way to its server.
    given_up = [e for e in found.failed if e.get("kind") != "completed"]
    events = [*found.hung, *found.slow, *given_up]
    shares = {(e.get("server"), e.get("share")) for e in events if e.get("share")}
    servers = {server for server, _ in shares}
    if len(events) < 2 or not shares:
        return []
    if len(servers) > 1:
        return [
            f"{len(servers)} servers are affected at once: look at this machine and its network "
            f"before any server, e.g. {found.file('journalctl')}."
        ]
    if len(shares) > 1:
        return [
            f"{len(shares)} shares of one server are affected: the server or the way to it, "
            "rather than one share."
        ]
    return []


def _who(found: Evidence) -> list[str]:
    processes = {(e.get("pid"), e.get("comm")) for e in found.slow if e.get("pid")}
    if len(found.slow) < 2 or not processes:
        return []
    if len(processes) == 1:
        pid, comm = processes.pop()
        return [
            f"All slow operations are of one process, {text.printable(str(comm))} (pid {pid}): "
            "what it does (many small or many parallel requests) may be the cause."
        ]
    return [f"{len(processes)} processes are slow: the cause is not one application alone."]


def _statuses(found: Evidence) -> list[str]:
    counts = Counter(str(event.get("status", "")) for event in found.failed)
    lines: dict[str, str] = {}
    for status, count in counts.most_common():
        if status in MEANINGS:
            meaning, action = MEANINGS[status]
            lines.setdefault(meaning, f"{status} ({count}): {meaning}. See {found.file(action)}.")
    return list(lines.values())


RULES: Sequence[Callable[[Evidence], list[str]]] = (
    _hanging,
    *connections.RULES,
    _statuses,
    _waiting,
    _pended,
    _where,
    _who,
    _writeback,
    _encrypted,
)


def _start(found: Evidence) -> str:
    if any((found.hung, found.slow, found.failed, found.lost, found.starved)):
        return (
            "No single cause stands out. Compare the ten operations above with "
            f"{found.file('dmesg')} and {found.file('debugdata')}."
        )
    first = " and ".join(found.collected("dmesg", "debugdata"))
    begin = f" Begin with {first}" if first else ""
    if found.open:
        told = "No request that was open had waited for long: nothing hung at that moment."
        return f"{told}{begin}." if begin else told
    if found.collected("debugdata"):
        begin += "; requests that hang are listed there under MIDs"
    return f"No operation is attached.{begin}." if begin else "No operation is attached."


def _flagged(events: Sequence[Event], flag: str) -> int:
    return sum(flag in event.get("flags", ()) for event in events)
