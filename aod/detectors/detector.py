"""What every detector is."""

from typing import Any, ClassVar, Protocol, Self, runtime_checkable

from aod.detectors.anomaly import Anomaly
from aod.detectors.section import AnomalySection
from aod.detectors.words import Words
from aod.events import Events
from aod.smb.filter import Filter


class Detector(Protocol):
    """RunningDetectors operations; a plain object that reads no clock and no file."""

    name: str
    filter: Filter
    """What the kernel has to send for this detector."""

    def feed(self, events: Events) -> Anomaly | None:
        """Judge a batch of shape (n,), in the order in which it was read."""


class Configured(Detector, Protocol):
    """A detector that a section of the config asks for by its `type`.

    One of another package is announced as an entry point of the group `aod.detectors`.
    """

    Section: ClassVar[type[AnomalySection]]
    """The keys of its section of the config."""
    words: ClassVar[Words]

    @classmethod
    def from_config(cls, name: str, section: Any, interval_ns: int) -> Self:
        """Make the detector of the anomaly `name` from its section, one of `Section`."""


@runtime_checkable
class Sampled(Protocol):
    """A detector's class that knows best what `aod doctor --fire` has to make up for it.

    Without `sample` that follows from the detector's filter: one operation that the kernel
    would send for it, `acceptable_count` of its section and one more times.
    """

    @classmethod
    def sample(cls, section: Any, operation: Events) -> Events:
        """Return operations that raise the anomaly of a section, shape (n,).

        They are made from `operation`, shape (1,), which may be changed: one that aod doctor
        completed just now, in a millisecond and without a failure.
        """


@runtime_checkable
class Ticking(Detector, Protocol):
    """A detector that wants to see what has not ended yet, each `watch_interval_sec`."""

    def tick(self, open_requests: Events) -> Anomaly | None:
        """Judge all that is open now: events of kind UNANSWERED or WAITING, shape (n,)."""
