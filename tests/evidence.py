"""What an incident of a test is handed in place of a service's stages."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from aod.events import Events
from aod.incidents.evidence import Detection, Evidence, Losses, Names, Tracer
from aod.incidents.notices import Notice
from aod.incidents.unwatched import Lost, NoDetection, NoTracer
from aod.smb import names

NOTHING = Path("/nonexistent")


def no_names() -> names.Names:
    """Return names of a machine without a mount."""
    return names.Names(NOTHING / "DebugData", NOTHING)


def make_evidence(
    names: Names | None = None,
    tracer: Tracer | None = None,
    detection: Detection | None = None,
    losses: Losses | None = None,
) -> Evidence:
    """Return evidence of nothing but what a test gives."""
    return Evidence(
        names or no_names(),
        tracer or NoTracer(),
        detection or NoDetection(),
        losses or Lost({"events": 0}),
    )


class LookUps:
    """Names of a machine without a mount; `look_up` and `shares` do what a test wants, or count."""

    def __init__(
        self,
        look_up: Callable[[Events], None] = lambda events: None,
        shares: Callable[[Events], Sequence[str]] = lambda events: (),
    ) -> None:
        self.count = 0
        self.is_unknown = False
        self._look_up = look_up
        self._shares = shares
        known = no_names()
        self.server, self.channel, self.share = known.server, known.channel, known.share
        self.file, self.unit = known.file, known.unit

    def look_up(self, events: Events) -> None:
        """Count it, and do what the test wants."""
        self.count += 1
        self._look_up(events)

    def has_unknown(self, events: Events) -> bool:
        """Tell what the test has set."""
        return self.is_unknown

    def shares(self, events: Events) -> Sequence[str]:
        """Return what the test wants."""
        return self._shares(events)


class Unheard:
    """Takes notices, where a test does not look at them."""

    def send(self, notice: Notice) -> None:
        """Take one."""


class Counting:
    """Losses that a test makes up."""

    def __init__(self, lost: Callable[[], Mapping[str, int]]) -> None:
        self.lost = lost
