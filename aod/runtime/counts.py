"""What the service has done since it was installed: for the state file, metrics and STATUS."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class ServiceCounts:
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

    def add(self, earlier: "ServiceCounts") -> None:
        """Count on from what an earlier run has counted."""
        for name in ("incidents", "suppressed", "bundles", "restarts"):
            getattr(self, name).update(getattr(earlier, name))
        self.deleted += earlier.deleted
        self.last_bundle = self.last_bundle or earlier.last_bundle
