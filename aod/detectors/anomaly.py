"""What a detector finds: the anomaly and its evidence."""

from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from aod.detectors import AnomalyType as AnomalyType
from aod.detectors.words import words_of
from aod.events import Events, empty, join
from aod.host.threads import MAX_THREADS, Threads

FIRST = 1000
WORST = 1000
"""Events kept of one anomaly: the first, and beside them the slowest; the rest is counted."""
MAX_REASONS = 5
BETWEEN_REASONS = "; "


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One finding, with its evidence.

    `anomaly` is its kind: an AnomalyType, or the `type` of another package's detector in lower
    case.
    `timestamp` is nanoseconds since the epoch when it was raised (0 until the service has
    stamped it: a detector reads no clock); `raised_ns` is the same in CLOCK_MONOTONIC.
    `count` violations were found within windows of `window_ns`; `events` holds the violating
    operations in order of completion, at most FIRST + WORST of them. `threads` has the threads that
    wait for some of them. `shares` has those whose own count raised it, where each has one.
    """

    anomaly: str
    name: str
    raised_ns: int
    timestamp: int = 0
    emergency: bool = False
    count: int = 0
    window_ns: int = 0
    events: Events = field(default_factory=empty)
    reason: str = ""
    threads: Threads = field(default_factory=dict)
    shares: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What cooldowns go by: the name, and whether it is an emergency."""
        return f"{self.name}:emergency" if self.emergency else self.name

    @property
    def worst(self) -> np.void | None:
        """The slowest violating operation, if there is one."""
        if not self.events.size:
            return None
        slowest: np.void = self.events[np.argmax(self.events["latency_ns"])]
        return slowest

    def stamped(self, wall_offset_ns: int) -> "Anomaly":
        """Return the anomaly with its wall time: raised_ns + wall_offset_ns."""
        return replace(self, timestamp=self.raised_ns + wall_offset_ns)

    def merged(self, later: "Anomaly") -> "Anomaly":
        """Return this anomaly with the evidence of a repeat added to it.

        What is still open is reported several times; it counts once, with its latest age. Of
        more than FIRST + WORST requests, those whose evidence was not kept count each time.
        """
        events, again = self.events, 0
        if words_of(self.anomaly).is_open:
            repeated = np.isin(_starts(events), _starts(later.events))
            events, again = events[~repeated], int(repeated.sum())
        return replace(
            self,
            emergency=self.emergency or later.emergency,
            count=self.count + later.count - again,
            events=keep_evidence(join(events, later.events)),
            threads=dict(islice({**self.threads, **later.threads}.items(), MAX_THREADS)),
            shares=tuple(dict.fromkeys(self.shares + later.shares)),
            reason=_both(self.reason, later.reason),
        )


def _both(reason: str, later: str) -> str:
    """Return both reasons, as long as they are few: each asks for the same bundle."""
    reasons = [each for each in reason.split(BETWEEN_REASONS) if each]
    if later and later not in reasons and len(reasons) < MAX_REASONS:
        reasons.append(later)
    return BETWEEN_REASONS.join(reasons)


def _starts(requests: Events) -> NDArray[np.void]:
    """Return what stays the same of each open request while it ages, shape (n,)."""
    names = ("connection_id", "message_id", "tid")
    starts = np.empty(requests.size, [(name, "u8") for name in (*names, "started_ns")])
    for name in names:
        starts[name] = requests[name]
    starts["started_ns"] = requests["time_ns"] - requests["latency_ns"]
    return starts


def keep_evidence(events: Events) -> Events:
    """Return the first FIRST events and the WORST slowest of the others, in time order."""
    if events.size <= FIRST + WORST:
        return events
    rest = events[FIRST:]
    slowest = np.argsort(rest["latency_ns"], kind="stable")[-WORST:]
    return join(events[:FIRST], rest[np.sort(slowest)])
