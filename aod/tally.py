"""What the service has done since it was installed: for the state file, metrics and STATUS."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Self

_COUNTERS = ("incidents", "suppressed", "bundles", "restarts")


@dataclass(slots=True)
class Tally:
    """Counts that survive a restart of the service.

    `incidents` and `suppressed` go by the anomaly's name, `bundles` by how they ended
    ("sealed", "not opened", "not sealed"), `restarts` by component; `deleted` counts bundles
    that retention took. `last_bundle` is the name of the last sealed one, "" before the first.
    """

    incidents: Counter[str] = field(default_factory=Counter)
    suppressed: Counter[str] = field(default_factory=Counter)
    bundles: Counter[str] = field(default_factory=Counter)
    restarts: Counter[str] = field(default_factory=Counter)
    deleted: int = 0
    last_bundle: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        counted = {name: dict(getattr(self, name)) for name in _COUNTERS}
        return {**counted, "deleted": self.deleted, "last_bundle": self.last_bundle}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Self:
        """Return what `as_dict` gave; raises ValueError, TypeError or KeyError for another."""
        counted = {name: _counter(plain[name]) for name in _COUNTERS}
        deleted, last_bundle = plain["deleted"], plain["last_bundle"]
        if not isinstance(deleted, int) or not isinstance(last_bundle, str):
            raise TypeError("not a tally")
        return cls(**counted, deleted=deleted, last_bundle=last_bundle)


def _counter(plain: Any) -> Counter[str]:
    if not isinstance(plain, dict) or not all(isinstance(n, int) for n in plain.values()):
        raise TypeError("not a counter")
    return Counter({str(name): number for name, number in plain.items()})
