"""Many processes that are slow at the same time: the cause is not one application."""

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from aod.detectors import MAX_THRESHOLD_MS
from aod.detectors.anomaly import Anomaly, keep_evidence
from aod.detectors.section import AnomalySection, nanoseconds
from aod.detectors.words import Words
from aod.events import COMMANDS, Events, Flag, Kind, empty, join
from aod.schema import count, number
from aod.smb.filter import Filter, is_patient

KIND = "crowd"
"""What the manifest calls it: the `type` in lower case."""


class CrowdSection(AnomalySection):
    """The keys of `type: Crowd`."""

    type: Literal["Crowd"] = Field(description="kind of anomaly")
    tool: Literal["smbslower"] = Field(default="smbslower", description="view of the tracer")
    threshold_ms: float = number(
        200, 0, MAX_THRESHOLD_MS, "milliseconds", "latency from which a process is slow"
    )
    acceptable_processes: int = count(5, 1, 1000, "processes that may be slow within an interval")


class Crowd:
    """Raises when more than `acceptable_processes` processes are slow within an interval."""

    Section: ClassVar[type[AnomalySection]] = CrowdSection
    words: ClassVar[Words] = Words(verb="slow at the same time", sort="slow")

    def __init__(
        self, name: str, threshold_ns: int, acceptable_processes: int, interval_ns: int
    ) -> None:
        self.name = name
        self.filter = Filter(np.full((2, COMMANDS), threshold_ns, np.uint64))
        self._threshold_ns = threshold_ns
        self._acceptable_processes = acceptable_processes
        self._interval_ns = interval_ns
        self._recent = empty()

    @classmethod
    def from_config(cls, name: str, section: CrowdSection, interval_ns: int) -> Self:
        """Make the detector of a section of the config."""
        threshold_ns = nanoseconds(section.threshold_ms)
        return cls(name, threshold_ns, section.acceptable_processes, interval_ns)

    @classmethod
    def sample(cls, section: CrowdSection, operation: Events) -> Events:
        """Return what `aod doctor --fire` makes up: slow operations of enough processes."""
        operation["latency_ns"] = nanoseconds(section.threshold_ms)
        operations = np.repeat(operation, section.acceptable_processes + 1)
        operations["pid"] += np.arange(operations.size, dtype=np.uint32)
        return operations

    def feed(self, events: Events) -> Anomaly | None:
        """Judge a batch; what raises is told once, with the slow operations of all of them."""
        slow = (events["kind"] == Kind.COMPLETED) & (events["latency_ns"] >= self._threshold_ns)
        slow &= ((events["flags"] & Flag.SELF) == 0) & ~is_patient(events)
        recent = join(self._recent, events[slow])
        if not recent.size:
            return None
        newest_ns = recent["time_ns"].max()
        recent = recent[recent["time_ns"] + np.uint64(self._interval_ns) > newest_ns]
        if np.unique(recent["pid"]).size <= self._acceptable_processes:
            self._recent = recent
            return None
        self._recent = empty()
        return Anomaly(
            KIND,
            self.name,
            int(newest_ns),
            count=recent.size,
            window_ns=self._interval_ns,
            events=keep_evidence(recent),
        )
