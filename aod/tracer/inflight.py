"""Requests that were sent and are not answered yet, and threads that wait to send one."""

import errno
import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aod.events import Events, Flag, Kind, empty, join
from aod.smb import Command
from aod.smb.filter import is_patient
from aod.smb.names import Names
from aod.tracer.ledger import Ledger
from aod.tracer.waiting import WaitingThreads
from aod.tracer.watcher import ModuleWatcher

log = logging.getLogger(__name__)

SECOND_NS = 1_000_000_000
GIVEN_UP_NS = 5 * SECOND_NS
"""Age from which an open request is looked for among those that cifs waits for."""
BUSY_NS = SECOND_NS
"""A server with a request older than this is asked nothing more."""

_ALIKE = (
    "session_id",
    "file_id",
    "cgroup_id",
    "tree_id",
    "error",
    "flags",
    "request_bytes",
    "response_bytes",
    "pid",
    "tid",
    "uid",
    "command",
    "credits_granted",
    "compound_index",
    "comm",
)
"""Fields that a request and an event both have."""


@dataclass(frozen=True, slots=True)
class InFlight:
    """One look: events of kind UNANSWERED and WAITING.

    `open` are requests without an answer and threads that wait to send one, shape (n,): these
    have neither connection nor message. `given_up`, shape (m,), has the requests that cifs no
    longer waits for. Their `error` is what the operation failed with that sent them, or else
    -EIO, which is what cifs itself makes of a failure that has no better name. `ledger` is that
    of the same scan, in which `given_up` is still open.
    """

    open: Events
    given_up: Events
    ledger: Ledger


class OpenRequests:
    """Looks at what is in flight; all of it blocks and belongs in a thread."""

    def __init__(self, tracer: ModuleWatcher, names: Names) -> None:
        self._tracer = tracer
        self._names = names
        self._waiting = WaitingThreads()

    def read(self) -> InFlight:
        """Look at what is open; forget what was given up, and return it one last time."""
        scan = self._tracer.scan()
        own_until_ns, now_ns = self._tracer.own.until_ns, time.monotonic_ns()
        events = unanswered(scan.keys, scan.requests, own_until_ns, now_ns)
        # What waits by nature may wait for days: no look into DebugData each interval for it.
        old = (events["latency_ns"] > GIVEN_UP_NS) & ~is_patient(events)
        if old.any():
            self._names.refresh()
            old[old] = [self._forget_given_up(event) for event in events[old]]
        given_up = events[old]
        given_up["error"][given_up["error"] == 0] = -errno.EIO
        waiting = self._waiting.read(scan.threads, scan.waits, own_until_ns, now_ns)
        return InFlight(join(events[~old], waiting), given_up, scan.ledger)

    def waiting(self) -> Events:
        """Look at what is open, as `open` of InFlight, without what waits by nature or is ours."""
        scan = self._tracer.scan()
        own_until_ns, now_ns = self._tracer.own.until_ns, time.monotonic_ns()
        events = unanswered(scan.keys, scan.requests, own_until_ns, now_ns)
        events = events[~is_patient(events) & ((events["flags"] & Flag.SELF) == 0)]
        # Not those of `read`, which may be at it in another thread.
        threads_waiting = WaitingThreads().read(scan.threads, scan.waits, own_until_ns, now_ns)
        return join(events, threads_waiting[(threads_waiting["flags"] & Flag.SELF) == 0])

    def objection(self, server: str) -> str | None:
        """Return why a server is left alone: it has trouble, and a question would hang."""
        self._names.refresh()
        if self._names.is_reconnecting(server):
            return "its connection is reconnecting"
        keys, requests = self._tracer.open_requests()
        connections = self._names.connections_of(server)
        waited_ns = longest_wait_ns(keys, requests, connections, time.monotonic_ns())
        if waited_ns > BUSY_NS:
            return f"a request has been waiting for {waited_ns / SECOND_NS:.0f} s"
        return None

    def _forget_given_up(self, event: np.void) -> bool:
        """Forget a request that cifs no longer waits for: its send failed, with no callback."""
        request = int(event["connection_id"]), int(event["message_id"])
        # A connection that is being negotiated is not listed with its requests.
        if event["command"] == Command.SMB2_NEGOTIATE or not self._names.is_given_up(*request):
            return False
        if not self._tracer.forget(*request):
            return False  # answered meanwhile
        log.warning("request given up by cifs without an answer connection=%d mid=%d", *request)
        return True


def unanswered(
    keys: NDArray[np.void],
    requests: NDArray[np.void],
    own_until_ns: Mapping[int, int],
    now_ns: int,
) -> Events:
    """Return what is in flight as (n,) events of kind UNANSWERED, as if it ended at `now_ns`.

    `keys` (REQUEST_KEY) and `requests` (REQUEST) have shape (n,); `latency_ns` is the age.
    `own_until_ns` says until when a pid was a process of aod: what it sent is flagged SELF.
    """
    events = empty(keys.size)
    for name in ("connection_id", "message_id"):
        events[name] = keys[name]
    for name in _ALIKE:
        events[name] = requests[name]
    sent_ns, pended_ns = requests["sent_ns"], requests["pended_ns"]
    events["kind"] = Kind.UNANSWERED
    # A request may have been sent, or its first part have come, since the clock was read.
    events["time_ns"] = np.maximum(now_ns, np.maximum(sent_ns, requests["response_ns"]))
    events["latency_ns"] = events["time_ns"] - requests["started_ns"]
    events["queue_ns"] = sent_ns - requests["started_ns"]
    events["pended_ns"] = np.where(pended_ns, pended_ns - sent_ns, 0)
    begun = requests["response_ns"] != 0
    events["payload_ns"] = np.where(begun, events["time_ns"] - requests["response_ns"], 0)
    until_ns = np.array([own_until_ns.get(pid, 0) for pid in requests["pid"].tolist()], np.uint64)
    events["flags"] |= np.where(sent_ns <= until_ns, Flag.SELF, 0).astype(np.uint32)
    return events


def longest_wait_ns(
    keys: NDArray[np.void], requests: NDArray[np.void], connections: Collection[int], now_ns: int
) -> int:
    """Return the age of the oldest unanswered request on some connections, 0 with none.

    `keys` (REQUEST_KEY) and `requests` (REQUEST) have shape (n,); without `connections`, all
    count. What waits by nature does not.
    """
    chosen = ~is_patient(requests)
    if connections:
        chosen &= np.isin(keys["connection_id"], list(connections))
    sent_ns = requests["sent_ns"][chosen]
    return max(0, now_ns - int(sent_ns.min())) if sent_ns.size else 0
