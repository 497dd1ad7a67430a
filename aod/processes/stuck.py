"""Counts the children and threads that are stuck in the kernel and were left behind."""

from collections import Counter


class Stuck:
    """What was left behind and is still there, by its owner: a program's name or a file's path.

    An owner that is in it is not started again, so that at most one child or thread per
    program and file can pile up.
    """

    def __init__(self) -> None:
        self.total = 0
        self._owners: Counter[str] = Counter()

    def __contains__(self, owner: str) -> bool:
        return self._owners[owner] > 0

    @property
    def now(self) -> int:
        """How many are stuck at this moment; `total` counts all that ever were."""
        return self._owners.total()

    def add(self, owner: str) -> None:
        """Count one more."""
        self.total += 1
        self._owners[owner] += 1

    def remove(self, owner: str) -> None:
        """Count one less: the kernel has let go of it."""
        self._owners[owner] -= 1
