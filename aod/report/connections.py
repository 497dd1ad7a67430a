"""What to look at next when connections are lost, credits run out, or nothing could be sent."""

from collections import Counter
from collections.abc import Callable, Sequence

from aod import text
from aod.report.evidence import SortedOperations
from aod.report.statuses import SESSION

STORM = 3
"""Losses of one connection from which on it is reported as one that cannot be kept."""


def _lost(found: SortedOperations) -> list[str]:
    aborted = sum(operation.kind == "aborted" for operation in found.failed)
    if not (found.lost or aborted):
        return []
    took_along = f": {text.plural(aborted, 'request')} got no answer" if aborted else ""
    return [
        f"The connection was lost{took_along}. Look for 'has not responded' and 'reconnect' in "
        f"{found.file('dmesg')}: with 'has not responded' before it, server or network were "
        "silent, else the connection was closed or reset."
    ]


def _storm(found: SortedOperations) -> list[str]:
    losses = Counter((each.server, each.connection_id) for each in found.lost)
    most = max(losses.values(), default=0)
    if most < STORM:
        return []
    return [
        f"One connection was lost {most} times: it comes back and does not hold. A firewall or "
        "load balancer that drops it, two clients behind one address, or a login that fails each "
        f"time (SESSION_SETUP, see {found.file('dmesg')}) do that; the server's own log tells why."
    ]


def _partial_send(found: SortedOperations) -> list[str]:
    count = sum(each.cause == "partial_send" for each in found.lost)
    if not count:
        return []
    return [
        f"{count} of {len(found.lost)} were given up because a request could be sent only in part: "
        "the socket was full and nobody took the data. Look at the way to the server (lost "
        f"packets, MTU) and at its load; 'In Send' in {found.file('debugdata')}."
    ]


def _credits(found: SortedOperations) -> list[str]:
    causes = Counter(operation.cause for operation in found.starved)
    lines = []
    if awaited := [each for each in found.starved if each.cause == "credits_awaited"]:
        longest_ns = max(operation.latency_ns for operation in awaited)
        in_flight = max(operation.in_flight for operation in awaited)
        lines.append(
            f"Credits were waited for {text.plural(len(awaited), 'time')}, up to "
            f"{text.duration(longest_ns)}, with up to {in_flight} requests in flight: the server "
            "allows few requests at a time, or answers slowly. Compare 'Number of credits' in "
            f"{found.file('debugdata')} and max_credits in {found.file('mounts')}; many parallel "
            "writers share the credits of one connection."
        )
    if causes["credits_timeout"] or causes["credits_insufficient"]:
        lines.append(
            "Operations failed for want of credits: the server took requests and gave back no "
            "credits, or both sides have lost count of them. See whether requests hang under MIDs "
            f"in {found.file('debugdata')}; mounting anew starts the count anew."
        )
    if causes["credits_overflow"]:
        lines.append(
            "The server granted more credits than the client can keep: a fault of the server's, "
            "which does no harm by itself."
        )
    return lines


def _not_sent(found: SortedOperations) -> list[str]:
    unsent = [operation for operation in found.failed if operation.kind == "unsent"]
    errors = Counter(operation.error for operation in found.failed)
    lines = []
    if unsent:
        lines.append(
            f"{text.plural(len(unsent), 'operation')} failed without a request: this machine "
            "refused, mostly as connection or session could not be used. What was lost before "
            f"stands in {found.file('dmesg')}."
        )
    if errors["EHOSTDOWN"]:
        lines.append(
            f"EHOSTDOWN ({errors['EHOSTDOWN']}): the server could not be reached: name resolution, "
            f"TCP port 445, a firewall, the server itself. See {found.file('journalctl')}."
        )
    return lines


def _unanswered(found: SortedOperations) -> list[str]:
    count = sum(operation.kind == "unanswered" for operation in found.failed)
    if not count:
        return []
    return [
        f"The client no longer waits for {text.plural(count, 'request')} without an answer: the "
        "send failed. Look for 'sending data on socket' and 'stuck for 15 seconds' in "
        f"{found.file('dmesg')}."
    ]


def _expired(found: SortedOperations) -> list[str]:
    if not any(operation.kind == "session_expired" for operation in found.failed):
        return []
    return [f"{SESSION[0].upper()}{SESSION[1:]}. See {found.file('journalctl')}."]


RULES: Sequence[Callable[[SortedOperations], list[str]]] = (
    _lost,
    _storm,
    _partial_send,
    _credits,
    _not_sent,
    _unanswered,
    _expired,
)
