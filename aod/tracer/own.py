"""Which processes are aod's own: what they send counts nowhere but in the ledger."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np

ENDED = 256
"""Processes that are remembered after their end: a request outlives who sent it."""
ALIVE_NS = np.iinfo(np.int64).max


class OwnProcesses:
    """Knows the children, and reports them to whichever tracer is loaded."""

    def __init__(self) -> None:
        self._until_ns: dict[int, int] = {}
        self._mark: Callable[[int, bool], None] = lambda pid, own: None

    @property
    def until_ns(self) -> Mapping[int, int]:
        """Until when each pid was a process of aod, ALIVE_NS while it is one; a copy."""
        return dict(self._until_ns)

    def report_to(self, mark: Callable[[int, bool], None]) -> None:
        """Call `mark` with each pid now and from now on, and whether it is aod's own."""
        self._mark = mark
        for pid, ns in self._until_ns.items():
            if ns == ALIVE_NS:
                mark(pid, True)

    @contextmanager
    def own(self, pid: int) -> Iterator[None]:
        """Flag the requests of a process as aod's own while the context lasts."""
        self._until_ns[pid] = ALIVE_NS
        self._mark(pid, True)
        try:
            yield
        finally:
            self._mark(pid, False)
            del self._until_ns[pid]  # to stand last: the oldest is forgotten first
            self._until_ns[pid] = time.monotonic_ns()
            ended = [pid for pid, ns in self._until_ns.items() if ns != ALIVE_NS]
            for oldest in ended[:-ENDED]:
                del self._until_ns[oldest]
