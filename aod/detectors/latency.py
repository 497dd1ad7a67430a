"""Operations that take too long."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator

from aod.detectors import MAX_THRESHOLD_MS
from aod.detectors.anomaly import Anomaly, AnomalyType, keep_evidence
from aod.detectors.section import (
    AnomalySection,
    CommandName,
    CountedAnomaly,
    acceptable,
    check_excluded,
    check_tracked,
    nanoseconds,
)
from aod.detectors.window import Window
from aod.detectors.words import Words
from aod.events import COMMANDS, Events, Flag, Kind
from aod.schema import Section, number
from aod.smb import Command
from aod.smb.filter import NEVER, Filter, event_thresholds_ns


class TrackedCommand(Section):
    """A command that counts, and from when on."""

    command: CommandName = Field(
        description="SMB2 command that counts",
        json_schema_extra={"allowed": ", ".join(Command.__members__)},
    )
    threshold: float | None = number(
        None,
        0,
        MAX_THRESHOLD_MS,
        "milliseconds",
        "latency from which it counts, none for the default",
    )


class LatencyAnomaly(CountedAnomaly):
    """Operations that take too long."""

    type: Literal["Latency"] = Field(description="kind of anomaly")
    tool: Literal["smbslower"] = Field(default="smbslower", description="view of the tracer")
    # One compound (open, query, close) is three: less would raise at any slow open.
    acceptable_count: int = acceptable(3)
    default_threshold_ms: float = number(
        200, 0, MAX_THRESHOLD_MS, "milliseconds", "latency from which an operation counts"
    )
    emergency_threshold_ms: float = number(
        1000, 0, MAX_THRESHOLD_MS, "milliseconds", "latency over which one operation raises at once"
    )
    track_commands: tuple[TrackedCommand, ...] = Field(
        default=(), validate_default=True, description="commands with a threshold of their own"
    )
    exclude_commands: tuple[CommandName, ...] = Field(
        default=(), description="commands that never count"
    )

    @field_validator("track_commands")
    @classmethod
    def _check_tracked(
        cls, tracked: tuple[TrackedCommand, ...], info: ValidationInfo
    ) -> tuple[TrackedCommand, ...]:
        check_tracked(tuple(entry.command for entry in tracked), info.data.get("mode"))
        return tracked

    @field_validator("exclude_commands")
    @classmethod
    def _check_excluded(
        cls, excluded: tuple[Command, ...], info: ValidationInfo
    ) -> tuple[Command, ...]:
        tracked = tuple(entry.command for entry in info.data.get("track_commands", ()))
        check_excluded(excluded, tracked, info.data.get("mode"))
        return excluded

    @property
    def tracked_by_name(self) -> frozenset[Command]:
        """Commands that count because `track_commands` names them."""
        if self.mode == "excludeonly":
            return frozenset()
        return frozenset(entry.command for entry in self.track_commands)

    @property
    def emergency_threshold_ns(self) -> int:
        """Latency over which one counted operation raises alone."""
        return nanoseconds(self.emergency_threshold_ms)

    def thresholds_ns(self) -> dict[Command, int | None]:
        """Return from which latency each command counts, None for never.

        The exemption of CHANGE_NOTIFY and blocking LOCK is the detector's, not in here.
        """
        default_ns = None if self.mode == "trackonly" else nanoseconds(self.default_threshold_ms)
        thresholds: dict[Command, int | None] = dict.fromkeys(Command, default_ns)
        for entry in self.track_commands:
            own_ms = self.default_threshold_ms if entry.threshold is None else entry.threshold
            thresholds[entry.command] = None if self.mode == "excludeonly" else nanoseconds(own_ms)
        return thresholds | dict.fromkeys(self.exclude_commands)


class Latency:
    """Raises when more than `acceptable_count` operations are slow within an interval.

    `thresholds_ns` gives each command's threshold, or None where it does not count; a
    command that it does not name never counts. One operation over `emergency_ns` (and its
    own threshold) raises alone.
    """

    Section: ClassVar[type[AnomalySection]] = LatencyAnomaly
    words: ClassVar[Words] = Words(verb="slow", sort="slow")

    def __init__(
        self,
        name: str,
        thresholds_ns: Mapping[Command, int | None],
        tracked: frozenset[Command],
        acceptable_count: int,
        interval_ns: int,
        emergency_ns: int,
    ) -> None:
        self.name = name
        self.filter = Filter(thresholds_ns=_table(thresholds_ns, tracked))
        self._emergency_ns = np.uint64(emergency_ns)
        self._interval_ns = interval_ns
        self._window = Window(acceptable_count, interval_ns)

    @classmethod
    def from_config(cls, name: str, section: LatencyAnomaly, interval_ns: int) -> Self:
        """Make the detector that a section of the config asks for."""
        return cls(
            name,
            section.thresholds_ns(),
            section.tracked_by_name,
            section.acceptable_count,
            interval_ns,
            section.emergency_threshold_ns,
        )

    def feed(self, events: Events) -> Anomaly | None:
        """Judge a batch; an anomaly holds each slow operation once."""
        ended = np.isin(events["kind"], (Kind.COMPLETED, Kind.ABORTED))
        foreign = (events["flags"] & Flag.SELF) == 0
        thresholds_ns = event_thresholds_ns(self.filter.thresholds_ns, events)
        slow = ended & foreign & (events["latency_ns"] >= thresholds_ns)
        violations = events[slow]
        # An operation at its threshold is slow; an emergency has to be over both bars.
        emergency = violations["latency_ns"] > np.maximum(self._emergency_ns, thresholds_ns[slow])
        evidence = self._window.feed(violations, alone=emergency)
        if not evidence.events.size:
            return None
        return Anomaly(
            AnomalyType.LATENCY,
            self.name,
            evidence.raised_ns,
            emergency=bool(emergency.any()),
            count=evidence.events.size,
            window_ns=self._interval_ns,
            events=keep_evidence(evidence.events),
        )


def _table(
    thresholds_ns: Mapping[Command, int | None], tracked: frozenset[Command]
) -> NDArray[np.uint64]:
    """Return thresholds of shape (2, COMMANDS), without what is slow by its nature."""
    table = np.full((2, COMMANDS), NEVER, np.uint64)
    for command, threshold_ns in thresholds_ns.items():
        if threshold_ns is not None:
            table[:, command] = threshold_ns
    if Command.SMB2_CHANGE_NOTIFY not in tracked:
        table[:, Command.SMB2_CHANGE_NOTIFY] = NEVER
    if Command.SMB2_LOCK not in tracked:
        # A lock that waits is answered with STATUS_PENDING first.
        table[1, Command.SMB2_LOCK] = NEVER
    return table
