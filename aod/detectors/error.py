"""Operations that fail."""

from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator

from aod import smb
from aod.detectors.anomaly import Anomaly, AnomalyType, keep_evidence
from aod.detectors.section import (
    ERRORS,
    AnomalySection,
    Code,
    CountedAnomaly,
    check_excluded,
    check_tracked,
)
from aod.detectors.window import Window
from aod.detectors.words import Words
from aod.events import ERRNOS, Events, Flag, Kind
from aod.smb.filter import (
    ALL_COMMANDS,
    NO_COMMANDS,
    Filter,
    StatusVerdict,
    quiet_commands,
    status_verdict,
)

UNLISTED = 0xFFFFFFFF
"""Stands for every failure that the status table does not list."""

LOCAL = (Kind.UNSENT, Kind.CREDIT_WAIT)
"""What fails on this machine: neither by a server's answer nor by its silence."""
FAILING = (Kind.ABORTED, Kind.UNANSWERED, *LOCAL)
"""What has an errno and no status; that of a TREE_CONNECT is its request's, reported with that."""


class ErrorAnomaly(CountedAnomaly):
    """Operations that fail."""

    type: Literal["Error"] = Field(description="kind of anomaly")
    tool: Literal["smbiosnoop"] = Field(default="smbiosnoop", description="view of the tracer")
    track_codes: tuple[Code, ...] = Field(
        default=(), validate_default=True, description="errno and STATUS_ names that count"
    )
    exclude_codes: tuple[Code, ...] = Field(
        default=(), description="errno and STATUS_ names that never count"
    )

    @field_validator("track_codes")
    @classmethod
    def _check_tracked(cls, tracked: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        check_tracked(tracked, info.data.get("mode"))
        return tracked

    @field_validator("exclude_codes")
    @classmethod
    def _check_excluded(cls, excluded: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        check_excluded(excluded, info.data.get("track_codes", ()), info.data.get("mode"))
        return excluded

    @property
    def tracked_statuses(self) -> frozenset[int]:
        """NTSTATUS values that count by name."""
        return _statuses(self._tracked)

    @property
    def tracked_errors(self) -> frozenset[int]:
        """Positive errnos that count by name, whatever status or abort they come from."""
        return _errors(self._tracked)

    @property
    def excluded_statuses(self) -> frozenset[int]:
        """NTSTATUS values that never count."""
        return _statuses(self._excluded)

    @property
    def excluded_errors(self) -> frozenset[int]:
        """Positive errnos that never count."""
        return _errors(self._excluded)

    @property
    def _tracked(self) -> tuple[str, ...]:
        return () if self.mode == "excludeonly" else self.track_codes

    @property
    def _excluded(self) -> tuple[str, ...]:
        return self.exclude_codes + (self.track_codes if self.mode == "excludeonly" else ())


class Error:
    """Raises when more than `acceptable_count` operations fail within an interval.

    `statuses` judges what was answered; `errors` holds the positive errnos that count for
    what was not (aborted requests and the like), or those that do not with `all_but_errors`;
    `quiet_errors` those that never count where no request was sent. With `skip_secondary` a
    related request that failed as the one before it does not count.
    """

    Section: ClassVar[type[AnomalySection]] = ErrorAnomaly
    words: ClassVar[Words] = Words(verb="failed", is_active=True, order="first")

    def __init__(
        self,
        name: str,
        statuses: StatusVerdict,
        errors: frozenset[int],
        all_but_errors: bool,
        skip_secondary: bool,
        acceptable_count: int,
        interval_ns: int,
        quiet_errors: frozenset[int],
    ) -> None:
        self.name = name
        self._errors = _table(errors, all_but_errors)
        local = self._errors & ~_table(quiet_errors, False)
        kinds = frozenset({Kind.UNSENT} if local.any() else ())
        self.filter = Filter(
            statuses=statuses, errors=local, kinds=kinds, secondary=not skip_secondary
        )
        self._skipped = Flag.SELF | (Flag.SECONDARY if skip_secondary else Flag(0))
        self._interval_ns = interval_ns
        self._window = Window(acceptable_count, interval_ns)

    @classmethod
    def from_config(cls, name: str, section: ErrorAnomaly, interval_ns: int) -> Self:
        """Make the detector that a section of the config asks for."""
        only_tracked = section.mode == "trackonly"
        return cls(
            name,
            _verdict(section, only_tracked),
            section.tracked_errors if only_tracked else section.excluded_errors,
            all_but_errors=not only_tracked,
            skip_secondary=section.mode == "all",
            acceptable_count=section.acceptable_count,
            interval_ns=interval_ns,
            quiet_errors=_quiet_errors(section),
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
        errors = np.abs(events["error"]) & (ERRNOS - 1)
        counts = np.where(
            np.isin(events["kind"], LOCAL), self.filter.errors[errors], self._errors[errors]
        )
        failed: NDArray[np.bool] = np.isin(events["kind"], FAILING) & counts
        return failed


def _table(errors: frozenset[int], all_but: bool) -> NDArray[np.bool]:
    """Return by errno whether it is one of these, or none of them; 0 is no error."""
    table = np.full(ERRNOS, all_but, np.bool)
    table[sorted(errors)] = not all_but
    table[0] = False
    return table


def _quiet_errors(section: ErrorAnomaly) -> frozenset[int]:
    return smb.QUIET_ERRORS - section.tracked_errors if section.mode == "all" else frozenset()


def _verdict(section: ErrorAnomaly, only_tracked: bool) -> StatusVerdict:
    """Resolve names and modes to what each status means on each command."""
    unlisted = smb.status_error(UNLISTED)
    failures = unlisted in section.tracked_errors if only_tracked else True
    failures = failures and unlisted not in section.excluded_errors
    commands = {}
    for code, status in smb.statuses().items():
        quiet = quiet_commands(code) if section.mode == "all" else NO_COMMANDS
        if code >= smb.LOWEST_ERROR:
            commands[code] = NO_COMMANDS if only_tracked else ALL_COMMANDS - quiet
        if code in section.tracked_statuses or status.error in section.tracked_errors:
            commands[code] = ALL_COMMANDS if code >= smb.LOWEST_ERROR else NO_COMMANDS
        if code in section.excluded_statuses or status.error in section.excluded_errors:
            commands[code] = NO_COMMANDS
    return status_verdict(failures, commands)


def _statuses(codes: tuple[str, ...]) -> frozenset[int]:
    return frozenset(smb.status_codes()[code] for code in codes if code not in ERRORS)


def _errors(codes: tuple[str, ...]) -> frozenset[int]:
    return frozenset(ERRORS[code] for code in codes if code in ERRORS)
