"""Requests that were sent and are not answered yet."""

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from aod.events import Events, Flag, Kind, empty
from aod.filter import is_patient

_ALIKE = (
    "session_id",
    "file_id",
    "cgroup_id",
    "tree_id",
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
