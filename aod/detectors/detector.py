"""What every detector is."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from aod.detectors.anomaly import Anomaly
from aod.events import Events
from aod.filter import Filter


class Detector(Protocol):
    """Judges operations; a plain object that reads no clock and no file."""

    name: str
    filter: Filter
    """What the kernel has to send for this detector."""

    def feed(self, events: Events) -> Anomaly | None:
        """Judge a batch of shape (n,), in the order in which it was read."""

    def tick(self, now_ns: int, open_requests: Sequence[np.void]) -> Anomaly | None:
        """Judge what has not ended at `now_ns` (CLOCK_MONOTONIC), once an interval."""
