"""What is known of an anomaly besides its events, and the manifest that is made of both."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from aod.bundle import describe, manifest
from aod.bundle.describe import describe_anomaly, describe_events
from aod.bundle.manifest import Manifest
from aod.clock import iso
from aod.config import Config
from aod.detectors.anomaly import Anomaly
from aod.events import Events
from aod.tracer.state import TracerState


class Names(describe.Names, Protocol):
    """Knows what the ids of events are called."""

    def look_up(self, events: Events) -> None:
        """Read anew what could name an id that is not known yet; blocks."""

    def has_unknown(self, events: Events) -> bool:
        """Return whether a later look-up could name what is not known yet; never blocks."""

    def shares(self, events: Events) -> Sequence[str]:
        """Return each `//server/share` that events belong to, as far as it is known."""


class Tracer(Protocol):
    """How operations are seen. All of it blocks."""

    @property
    def libbpf(self) -> str:
        """The version of libbpf, "" where no tracer runs."""

    def describe(self) -> TracerState | None:
        """Return what it says of itself, None where nobody watches."""

    def usual_latency_ns(self, events: Events) -> int:
        """Return the median latency of operations like these before them, 0 if not known."""


class Detection(Protocol):
    """What operations are judged by."""

    def thresholds_ns(self, anomaly: str, events: Events) -> NDArray[np.uint64] | None:
        """Return the limit of each event by the anomaly of this name, shape (n,), if it has any."""


class Losses(Protocol):
    """What was lost on the way to the incidents."""

    def lost(self) -> Mapping[str, int]:
        """Return how much, by what was lost; blocks."""


class Evidence:
    """Describes anomalies, and what went on beside them; all of it blocks."""

    def __init__(self, names: Names, tracer: Tracer, detection: Detection, losses: Losses) -> None:
        self._names = names
        self._tracer = tracer
        self._detection = detection
        self._losses = losses

    def shares(self, events: Events) -> Sequence[str]:
        """Return the shares of events as far as they are known, without a look-up: never blocks."""
        return self._names.shares(events)

    def is_named(self, anomaly: Anomaly) -> bool:
        """Return whether all that could be named of its events has been."""
        return not self._names.has_unknown(anomaly.events)

    def usual_latency_ns(self, anomaly: Anomaly) -> int:
        """Return the median latency of other operations like those of the anomaly."""
        return self._tracer.usual_latency_ns(anomaly.events)

    def describe(
        self, anomaly: Anomaly, repeats: int, limits: Mapping[str, object], usual_latency_ns: int
    ) -> manifest.Anomaly:
        """Return an anomaly in words; `limits` is its section of the config."""
        events = anomaly.events
        self._names.look_up(events)
        thresholds_ns = self._detection.thresholds_ns(anomaly.name, events)
        operations = describe_events(events, thresholds_ns, self._names, wall_offset_ns(anomaly))
        return describe_anomaly(anomaly, repeats, operations, limits, usual_latency_ns)

    def manifest(self, state: str, anomalies: Sequence[manifest.Anomaly]) -> Manifest:
        """Return a manifest with what is known at this moment."""
        return Manifest(
            format=manifest.FORMAT,
            state=state,
            raised=anomalies[0].raised,
            sealed=iso(time.time_ns()) if state == "sealed" else None,
            trigger=anomalies[0].name,
            anomalies=tuple(anomalies),
            lost=self._losses.lost(),
            tracer=_described_tracer(self._tracer.describe()),
            host=describe.describe_host(),
            versions=describe.describe_versions(self._tracer.libbpf),
        )


@dataclass(frozen=True, slots=True)
class _Description:
    anomaly: Anomaly
    repeats: int
    words: manifest.Anomaly


class DescribedAnomalies:
    """The anomalies of one incident in words: only what is new or has changed is described.

    So is what had an id without a name: a share that reconnects is known only later.
    """

    def __init__(self, evidence: Evidence, config: Config) -> None:
        self._evidence = evidence
        self._sections = config.guardian.anomalies
        self._known: dict[str, _Description] = {}

    def describe(self, anomaly: Anomaly, repeats: int) -> manifest.Anomaly:
        """Return one of its anomalies in words; blocks."""
        known = self._known.get(anomaly.name)
        is_same = known and known.anomaly is anomaly and known.repeats == repeats
        if known and is_same and self._evidence.is_named(anomaly):
            return known.words
        # Asked once, at the start: later the trouble itself would seem usual.
        usual_ns = (
            known.words.usual_latency_ns if known else self._evidence.usual_latency_ns(anomaly)
        )
        words = self._evidence.describe(anomaly, repeats, self._limits(anomaly.name), usual_ns)
        self._known[anomaly.name] = _Description(anomaly, repeats, words)
        return words

    def _limits(self, name: str) -> Mapping[str, object]:
        section = self._sections.get(name)
        return section.model_dump(mode="json") if section else {}


def wall_offset_ns(anomaly: Anomaly) -> int:
    """Return wall - monotonic time as it was when the anomaly was raised.

    Not as it is now: the clock may have been set since, and all times of one anomaly shall go
    together.
    """
    return anomaly.timestamp - anomaly.raised_ns


def _described_tracer(state: TracerState | None) -> manifest.Tracer | None:
    return manifest.Tracer(**asdict(state)) if state else None
