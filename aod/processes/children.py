"""The children of this process, each ours while it lives: which those are, and what became of them.

Whatever is a child of this process and is not among them is an orphan of one of them.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from aod.processes.stuck import Stuck


class OwnProcesses(Protocol):
    """Keeps apart what a process of ours sends: it counts nowhere."""

    def own(self, pid: int) -> AbstractContextManager[None]:
        """Return what is entered while a process lives."""


class Audit(Protocol):
    """Takes note of what aod itself did."""

    def record(self, event: str, /, **facts: Any) -> None:
        """Note an event; never waits."""


class Children:
    """What the children of one process share, over all that start any: there is one of it.

    `stuck` counts those that the kernel does not let go of; threads that are stuck in a read
    are counted there as well. `pids` are those that live, `started` counts all that ever were.
    """

    def __init__(self, own: OwnProcesses, audit: Audit) -> None:
        self.own = own
        self.audit = audit
        self.stuck = Stuck()
        self.pids: set[int] = set()
        self.started = 0
        self._starting = 0

    @property
    def is_starting(self) -> bool:
        """Whether one is about to be there, with a pid that is not known yet."""
        return self._starting > 0

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Count one more, which is about to be there until the context ends."""
        self.started += 1
        self._starting += 1
        try:
            yield
        finally:
            self._starting -= 1
