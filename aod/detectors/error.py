"""Operations that fail."""

from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from aod import smb
from aod.detectors.anomaly import Anomaly, AnomalyType, keep_evidence
from aod.detectors.window import Window
from aod.events import Events, Flag, Kind
from aod.filter import ALL_COMMANDS, Filter, StatusVerdict, status_verdict

if TYPE_CHECKING:
    from aod.config.tree import ErrorAnomaly

UNLISTED = 0xFFFFFFFF
"""Stands for every failure that the status table does not list."""


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

    @classmethod
    def from_config(cls, name: str, config: "ErrorAnomaly", interval_ns: int) -> Self:
        """Make the detector that a section of the config asks for."""
        only_tracked = config.mode == "trackonly"
        return cls(
            name,
            _verdict(config, only_tracked),
            config.tracked_errors if only_tracked else config.excluded_errors,
            all_but_errors=not only_tracked,
            skip_secondary=config.mode == "all",
            acceptable_count=config.acceptable_count,
            interval_ns=interval_ns,
        )

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

    def _answered(self, events: Events) -> NDArray[np.bool]:
        completed: NDArray[np.bool] = events["kind"] == Kind.COMPLETED
        return completed & self.filter.statuses.counts(events["status"], events["command"])

    def _unanswered(self, events: Events) -> NDArray[np.bool]:
        failed: NDArray[np.bool] = (events["kind"] != Kind.COMPLETED) & (events["error"] != 0)
        counts: NDArray[np.bool] = failed & (
            np.isin(-events["error"], self._errors) != self._all_but_errors
        )
        return counts


def _verdict(config: "ErrorAnomaly", only_tracked: bool) -> StatusVerdict:
    """Resolve names and modes to what each status means on each command."""
    unlisted = smb.status_error(UNLISTED)
    failures = unlisted in config.tracked_errors if only_tracked else True
    failures = failures and unlisted not in config.excluded_errors
    commands = {}
    for code, status in smb.statuses().items():
        quiet = smb.quiet_commands(code) if config.mode == "all" else 0
        if code >= smb.LOWEST_ERROR:
            commands[code] = 0 if only_tracked else ALL_COMMANDS & ~quiet
        if code in config.tracked_statuses or status.error in config.tracked_errors:
            commands[code] = ALL_COMMANDS if code >= smb.LOWEST_ERROR else 0
        if code in config.excluded_statuses or status.error in config.excluded_errors:
            commands[code] = 0
    return status_verdict(failures, commands)
