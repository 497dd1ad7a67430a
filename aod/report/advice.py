"""What to look at next: rules that follow from a bundle's evidence, and nothing else does."""

from collections import Counter
from collections.abc import Callable, Sequence

from aod import text
from aod.bundle.manifest import Manifest, Operation
from aod.report import connections
from aod.report.evidence import SortedOperations, evidence, time_spent
from aod.report.statuses import MEANINGS

MOST = 0.5
"""A part of the waiting that is this large, or of the events, gets a line of its own."""


def advise(manifest: Manifest) -> list[str]:
    """Return one sentence or two per rule that applies, the most conclusive first."""
    found = evidence(manifest)
    return [line for rule in RULES for line in rule(found)] or [_start(found)]


def _hanging(found: SortedOperations) -> list[str]:
    if not found.hung:
        return []
    pended = _flagged(found.hung, "pended")
    begun = sum(operation.payload_ns > 0 for operation in found.hung)
    unsent = sum(not operation.command for operation in found.hung)
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


def _waiting(found: SortedOperations) -> list[str]:
    part, share = max(time_spent(found.slow).items(), key=lambda item: item[1])
    if not found.slow or share < MOST:
        return []
    percent = text.percent(share)
    busiest = max(operation.in_flight for operation in found.slow)
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


def _pended(found: SortedOperations) -> list[str]:
    count = _flagged(found.slow, "pended")
    if 2 * count < len(found.slow) or not count:
        return []  # a few are everyday life, and say nothing of the others
    lines = [
        f"The server answered {count} of {len(found.slow)} with STATUS_PENDING first: it had "
        "these requests and was working on them, so look at the server's storage and load, not "
        "at the network."
    ]
    creates = [each for each in found.slow if each.command == "SMB2_CREATE"]
    if _flagged(creates, "pended"):
        lines.append(
            "Pended SMB2_CREATE often waits until another client gives back its lease (up to "
            f"35 s): look at who else has these files open; ours are in {found.file('open_files')}."
        )
    return lines


def _encrypted(found: SortedOperations) -> list[str]:
    operations = [*found.hung, *found.slow, *found.failed]
    count = _flagged(operations, "encrypted")
    if not count or "tcpdump" not in found.actions:
        return []
    return [
        f"{count} of {len(operations)} were encrypted: in {found.file('tcpdump')} only times and "
        "sizes can be seen, not commands."
    ]


def _writeback(found: SortedOperations) -> list[str]:
    count = _flagged(found.slow, "writeback")
    if not count:
        return []
    return [
        f"{count} of {len(found.slow)} were writeback by a kernel thread: the process named is "
        "not the one that wrote the data; the file says whose it is."
    ]


def _where(found: SortedOperations) -> list[str]:
    # A refusal is about a file's permissions, not of the way to its server.
    given_up = [each for each in found.failed if each.kind != "completed"]
    affected = [*found.hung, *found.slow, *given_up]
    shares = {(each.server, each.share) for each in affected if each.share}
    servers = {server for server, _ in shares}
    if len(affected) < 2 or not shares:
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


def _who(found: SortedOperations) -> list[str]:
    processes = {(each.pid, each.comm) for each in found.slow if each.pid}
    if len(found.slow) < 2 or not processes:
        return []
    if len(processes) == 1:
        pid, comm = processes.pop()
        return [
            f"All slow operations are of one process, {text.printable(comm)} (pid {pid}): "
            "what it does (many small or many parallel requests) may be the cause."
        ]
    return [f"{len(processes)} processes are slow: the cause is not one application alone."]


def _statuses(found: SortedOperations) -> list[str]:
    counts = Counter(operation.status for operation in found.failed)
    lines: dict[str, str] = {}
    for status, count in counts.most_common():
        if status in MEANINGS:
            meaning, action = MEANINGS[status]
            lines.setdefault(meaning, f"{status} ({count}): {meaning}. See {found.file(action)}.")
    return list(lines.values())


RULES: Sequence[Callable[[SortedOperations], list[str]]] = (
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


def _start(found: SortedOperations) -> str:
    if any((found.hung, found.slow, found.failed, found.lost, found.starved)):
        return (
            "No single cause stands out. Compare the ten operations above with "
            f"{found.file('dmesg')} and {found.file('debugdata')}."
        )
    first = " and ".join(found.collected("dmesg", "debugdata"))
    begin = f" Begin with {first}" if first else ""
    if found.open:
        sentence = "No request that was open had waited for long: nothing hung at that moment."
        return f"{sentence}{begin}." if begin else sentence
    if found.collected("debugdata"):
        begin += "; requests that hang are listed there under MIDs"
    return f"No operation is attached.{begin}." if begin else "No operation is attached."


def _flagged(operations: Sequence[Operation], flag: str) -> int:
    return sum(flag in operation.flags for operation in operations)
