"""What the metrics are made of."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from aod.activity.samples import Sample
from aod.runtime.counts import Tally


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known at one moment.

    `ledger` has the fields of Ledger, `lost` what was dropped on the way, by what it was.
    `anomalies` are the names that are watched for; `rung` is 0 while cifs is not loaded.
    """

    sample: Sample
    ledger: Mapping[str, int]
    lost: Mapping[str, int]
    tally: Tally
    anomalies: Collection[str]
    rung: int = 0
    probes: int = 0
