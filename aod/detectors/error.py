"""Operations that fail."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aod.detectors.anomaly import Anomaly, AnomalyType, keep_evidence
from aod.detectors.window import Window
from aod.events import Events, Flag, Kind
from aod.filter import Filter, StatusVerdict


class Error:
    """Raises when more than `acceptable_count` operations fail within an interval.

    `statuses` judges what was answered; `errors` holds the positive errnos that count for
    what was not (aborted requests and the like), or those that do not with `all_but_errors`.
    With `skip_secondary` a related request that failed as the one before it does not count.
    """

    def __init__(
        self,
        name: str,
        statuses: StatusVerdict,
        errors: frozenset[int],
        all_but_errors: bool,
        skip_secondary: bool,
        acceptable_count: int,
        interval_ns: int,
    ) -> None:
        self.name = name
        self.filter = Filter(statuses=statuses)
        self._errors = sorted(errors)
        self._all_but_errors = all_but_errors
        self._skipped = Flag.SELF | (Flag.SECONDARY if skip_secondary else Flag(0))
        self._interval_ns = interval_ns
        self._window = Window(acceptable_count, interval_ns)

    def feed(self, events: Events) -> Anomaly | None:
        """Judge a batch; an anomaly holds each failed operation once."""
        failed = self._answered(events) | self._unanswered(events)
        failed &= (events["flags"] & self._skipped) == 0
        evidence = self._window.feed(events[failed])
        if not evidence.events.size:
            return None
        return Anomaly(
            AnomalyType.ERROR,
            self.name,
            evidence.raised_ns,
            count=evidence.events.size,
            window_ns=self._interval_ns,
            events=keep_evidence(evidence.events),
        )

    def tick(self, now_ns: int, open_requests: Sequence[np.void]) -> Anomaly | None:
        """Find nothing: what has not ended has not failed yet."""
        return None

    def _answered(self, events: Events) -> NDArray[np.bool]:
        completed: NDArray[np.bool] = events["kind"] == Kind.COMPLETED
        return completed & self.filter.statuses.counts(events["status"], events["command"])

    def _unanswered(self, events: Events) -> NDArray[np.bool]:
        failed: NDArray[np.bool] = (events["kind"] != Kind.COMPLETED) & (events["error"] != 0)
        counts: NDArray[np.bool] = failed & (
            np.isin(-events["error"], self._errors) != self._all_but_errors
        )
        return counts
