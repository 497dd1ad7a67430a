"""What every detector is."""

from typing import Any, Protocol, Self

from aod.detectors.anomaly import Anomaly
from aod.events import Events
from aod.filter import Filter


class Detector(Protocol):
    """Judges operations; a plain object that reads no clock and no file."""

    name: str
    filter: Filter
    """What the kernel has to send for this detector."""

    @classmethod
    def from_config(cls, name: str, config: Any, interval_ns: int) -> Self:
        """Make the detector of the anomaly `name` from its section of the config."""

    def feed(self, events: Events) -> Anomaly | None:
        """Judge a batch of shape (n,), in the order in which it was read."""
