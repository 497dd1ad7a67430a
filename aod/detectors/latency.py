"""Operations that take too long."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from aod.detectors.anomaly import Anomaly, AnomalyType, keep_evidence
from aod.detectors.window import Window
from aod.detectors.words import Words
from aod.events import COMMANDS, Events, Flag, Kind
from aod.smb import Command
from aod.smb.filter import NEVER, Filter, event_thresholds_ns

if TYPE_CHECKING:
    from aod.config.tree import LatencyAnomaly


class Latency:
    """Raises when more than `acceptable_count` operations are slow within an interval.

    `thresholds_ns` gives each command's threshold, or None where it does not count; a
    command that it does not name never counts. One operation over `emergency_ns` (and its
    own threshold) raises alone.
    """

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
    def from_config(cls, name: str, config: "LatencyAnomaly", interval_ns: int) -> Self:
        """Make the detector that a section of the config asks for."""
        return cls(
            name,
            config.thresholds_ns(),
            config.tracked_by_name,
            config.acceptable_count,
            interval_ns,
            config.emergency_threshold_ns,
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
