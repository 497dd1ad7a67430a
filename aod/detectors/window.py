"""More than so many violations within an interval: the rule that detectors share."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aod.events import Events, empty, join

DISORDER = 64
"""Violations kept beyond the window: CPUs write the ring in nearly, not quite, time order."""


@dataclass(frozen=True, slots=True)
class Violations:
    """Violations that were not reported before, in time order, and when they were raised.

    `raised_ns` is the CLOCK_MONOTONIC time of the first violation that raised, 0 with none.
    """

    events: Events
    raised_ns: int


class Window:
    """Finds violations that stand closer together than is acceptable.

    With the violations sorted by completion time, violation i raises when
    t[i] - t[i - acceptable_count] < interval_ns; it and the acceptable_count before it are
    evidence, each reported once. How the stream is cut into batches changes nothing.
    """

    def __init__(self, acceptable_count: int, interval_ns: int) -> None:
        self._acceptable_count = acceptable_count
        self._interval_ns = interval_ns
        self._recent = empty()
        self._reported = np.zeros(0, np.bool)

    def feed(self, violations: Events, alone: NDArray[np.bool] | None = None) -> Violations:
        """Judge violations of shape (n,); those marked in `alone` raise by themselves."""
        if alone is None:
            alone = np.zeros(violations.size, np.bool)
        events = join(self._recent, violations)
        reported = np.concatenate([self._reported, np.zeros(violations.size, np.bool)])
        alone = np.concatenate([np.zeros(self._reported.size, np.bool), alone])
        order = np.argsort(events["time_ns"], kind="stable")
        events, reported, alone = events[order], reported[order], alone[order]
        raising = self._raising(events["time_ns"])
        evidence = self._covered(raising) | alone
        fresh = evidence & ~reported
        keep = slice(max(0, events.size - self._acceptable_count - DISORDER), None)
        self._recent, self._reported = events[keep].copy(), (reported | evidence)[keep]
        if not fresh.any():
            return Violations(empty(), 0)
        first = np.flatnonzero((raising | alone) & (np.cumsum(fresh) > 0))[0]
        return Violations(events[fresh], int(events["time_ns"][first]))

    def _raising(self, times_ns: NDArray[np.uint64]) -> NDArray[np.bool]:
        raising = np.zeros(times_ns.size, np.bool)
        later = times_ns[self._acceptable_count :]
        raising[self._acceptable_count :] = later - times_ns[: later.size] < self._interval_ns
        return raising

    def _covered(self, raising: NDArray[np.bool]) -> NDArray[np.bool]:
        """Return what lies at most acceptable_count places before a raising one, or is one."""
        following = np.concatenate([raising, np.zeros(self._acceptable_count + 1, np.bool)])
        total = np.concatenate([[0], np.cumsum(following)])
        span = self._acceptable_count + 1
        covered: NDArray[np.bool] = (total[span : span + raising.size] - total[: raising.size]) > 0
        return covered
