"""The ledger of the probes: every request and every response is accounted for."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from aod.events import Count


@dataclass(frozen=True, slots=True)
class Ledger:
    """What was counted since the probes were attached.

    requests = completed + aborted + unanswered + untracked + open, and
    pdus = completed + interim + breaks + unmatched; exact when nothing is under way, as the
    counters are not read at one moment. `earlier` are responses to requests that were sent
    before the attach, which `pdus` holds too. Of `events` meant for the ring `lost` did not
    fit; `uncounted` completed requests found no room in the map of latencies, `crowded` ones
    found their slot taken and were kept in a hash. `skipped` times a probe was not run,
    because its CPU was inside of another BPF call.
    """

    requests: int = 0
    completed: int = 0
    aborted: int = 0
    unanswered: int = 0
    untracked: int = 0
    open: int = 0
    pdus: int = 0
    interim: int = 0
    breaks: int = 0
    unmatched: int = 0
    earlier: int = 0
    events: int = 0
    lost: int = 0
    uncounted: int = 0
    crowded: int = 0
    skipped: int = 0

    @property
    def request_imbalance(self) -> int:
        """Requests that are not accounted for; negative when too much is."""
        ended = self.completed + self.aborted + self.unanswered + self.untracked
        return self.requests - ended - self.open

    @property
    def pdu_imbalance(self) -> int:
        """Responses that are not accounted for; negative when too much is."""
        known = self.completed + self.interim + self.breaks + self.unmatched + self.earlier
        return self.pdus - known

    @property
    def is_closed(self) -> bool:
        """Return whether both sides are equal in both equations."""
        return self.request_imbalance == self.pdu_imbalance == 0

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in asdict(self).items())

    def __add__(self, other: "Ledger") -> "Ledger":
        theirs = asdict(other)
        return Ledger(**{name: value + theirs[name] for name, value in asdict(self).items()})


def ledger_of(
    counts: Mapping[Count, int], unanswered: int, still_open: int, skipped: int = 0
) -> Ledger:
    """Put the kernel's counters together with what user space has counted."""
    kernel = {count.name.lower(): counts[count] for count in Count}
    return Ledger(unanswered=unanswered, open=still_open, skipped=skipped, **kernel)


class Watch:
    """Finds out when the ledger does not balance for so long that it is no matter of the moment."""

    PATIENCE = 3

    def __init__(self) -> None:
        self._before = Ledger()
        self._times = 0

    def check(self, ledger: Ledger) -> bool:
        """Return whether an imbalance over the requests of the last interval came three times.

        Every further time is reported again only after another three.
        """
        recent = ledger.requests - self._before.requests
        imbalance = max(abs(ledger.request_imbalance), abs(ledger.pdu_imbalance))
        self._before = ledger
        self._times = self._times + 1 if imbalance > recent else 0
        if self._times < self.PATIENCE:
            return False
        self._times = 0
        return True
