"""What an incident is handed where no service watches: `aod collect`, `aod doctor --fire`."""

from collections.abc import Mapping
from dataclasses import dataclass

from aod.events import Events


@dataclass(frozen=True, slots=True)
class NoTracer:
    """Nobody watches; `libbpf` is its version where it made the events all the same."""

    libbpf: str = ""

    def describe(self) -> None:
        """Return nothing: there is no tracer to describe."""

    def usual_latency_ns(self, events: Events) -> int:
        """Return 0: nothing was counted."""
        return 0


class NoDetection:
    """No detector runs."""

    def thresholds_ns(self, anomaly: str, events: Events) -> None:
        """Return nothing: no operation was judged."""


@dataclass(frozen=True, slots=True)
class Lost:
    """What was lost once, by what it was."""

    counts: Mapping[str, int]

    def lost(self) -> Mapping[str, int]:
        """Return how much."""
        return self.counts
