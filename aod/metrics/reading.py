"""What the metrics are made of."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from aod.activity.samples import Sample
from aod.runtime.counts import ServiceCounts
from aod.tracer.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known at one moment.

    `lost` is what was dropped on the way, by what it was. `anomalies` are the names that are
    watched for; `rung` is 0 while cifs is not loaded.
    """

    sample: Sample
    ledger: Ledger
    lost: Mapping[str, int]
    service_counts: ServiceCounts
    anomalies: Collection[str]
    rung: int = 0
    probes: int = 0


class Readings(Protocol):
    """The service, as far as the metrics read it."""

    def read(self) -> Reading:
        """Return what is known now; blocks."""
