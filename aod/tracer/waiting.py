"""Threads that wait to send: for credits, or for the send mutex.

The kernel's map shows who is on the way. A thread that fails before its send leaves its entry
there, so its kernel stack decides whether it still waits.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aod.events import Events, Flag, Kind, empty, join
from aod.host.threads import PROC, Thread, read_thread

OLD_NS = 1_000_000_000
"""Age from which a thread is looked at: a send takes much less, a hang much more."""
MAX_LOOKS = 256
"""Threads looked at in one scan, the oldest first: each takes about 0.1 ms."""
SENDING = frozenset(
    {
        "compound_send_recv",
        "cifs_call_async",
        "smb2_wait_mtu_credits",
        "wait_for_free_credits",
    }
)
"""Functions of cifs that stand on the stack of a thread which has not sent yet."""


class WaitingThreads:
    """Knows who waits to send; remembers whose entry is out of date."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._ended: set[tuple[int, int]] = set()
        """(thread id, time entered) of each entry whose call is over."""

    def read(
        self,
        tids: NDArray[np.uint32],
        waits: NDArray[np.void],
        own_until_ns: Mapping[int, int],
        now_ns: int,
    ) -> Events:
        """Return those who wait as (n,) events of kind WAITING: no connection, no message.

        `tids` and `waits` (WAIT) have shape (n,); `latency_ns` is the time since the entry.
        `own_until_ns` says until when a pid was a process of aod: it is flagged SELF.
        """
        candidates = (waits["sent_ns"] == 0) & (waits["entered_ns"] > 0)
        candidates &= waits["entered_ns"] + np.uint64(OLD_NS) <= now_ns
        entries = zip(
            tids[candidates].tolist(), waits["entered_ns"][candidates].tolist(), strict=True
        )
        unsent = sorted(entries, key=lambda entry: entry[1])
        self._ended &= set(unsent)
        looked_at = [entry for entry in unsent if entry not in self._ended][:MAX_LOOKS]
        waiting = []
        for tid, entered_ns in looked_at:
            thread = read_thread(self._proc / str(tid))
            if thread and is_sending(thread):
                waiting.append(_event(tid, thread, now_ns - entered_ns, own_until_ns, now_ns))
            elif not thread or is_over(thread):
                self._ended.add((tid, entered_ns))
        return join(*waiting)


def is_sending(thread: Thread) -> bool:
    """Return whether a thread is inside of a function that sends requests."""
    return any(entry.partition("+")[0].partition(".")[0] in SENDING for entry in thread.stack)


def is_over(thread: Thread) -> bool:
    """Return whether a thread has surely left: the stack of a running one says nothing."""
    return bool(thread.stack) and not thread.state.startswith("R")


def _event(
    tid: int, thread: Thread, age_ns: int, own_until_ns: Mapping[int, int], now_ns: int
) -> Events:
    event = empty(1)
    event["kind"] = Kind.WAITING
    event["time_ns"] = now_ns
    event["latency_ns"] = event["queue_ns"] = age_ns
    event["pid"], event["tid"], event["uid"] = thread.pid, tid, thread.uid
    event["comm"] = thread.comm.encode()
    if own_until_ns.get(thread.pid, 0) >= now_ns - age_ns:
        event["flags"] = Flag.SELF
    return event
