"""What was done on each share by each command, added up over all loads of cifs."""

import threading
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from aod import smb
from aod.activity.activities import TreeNames
from aod.activity.samples import Counter, Key, Sample
from aod.events import BUCKETS

Labels: TypeAlias = tuple[str, str, str]
"""(server, share, command) of a total; "" for what has no name."""

MAX_TOTALS = 256
OTHERS: Labels = ("others", "others", "others")
MAX_NAME = 255
"""Characters of a server's or a share's name; DNS and MS-SRVS have less."""
FORGET_NS = 3_600_000_000_000
"""Idle time after which a total makes way for a new one, when there is no room left."""


@dataclass(slots=True)
class Total:
    """What was counted of one share and command; `latency` has shape (BUCKETS,)."""

    errors: int = 0
    bytes: int = 0
    total_ns: int = 0
    open: int = 0
    latency: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BUCKETS, np.int64))
    changed_ns: int = 0

    def add(self, counted: Counter, time_ns: int) -> None:
        """Add what one counter of the kernel has counted since it was added before."""
        self.latency = self.latency + counted.latency
        self.errors += counted.errors
        self.bytes += counted.bytes
        self.total_ns += counted.total_ns
        self.changed_ns = time_ns


class Totals:
    """Adds up samples of the kernel's counters by the names of their shares.

    What comes in is credited to the name that it has at that moment and never moved: totals
    only rise. The kernel's counters have ids, several of which may have one name, and begin
    anew with each load of cifs. At most `limit` totals are kept apart, the rest is OTHERS; one
    that was idle for an hour makes way for a new one. For any thread.
    """

    def __init__(self, names: TreeNames, limit: int = MAX_TOTALS) -> None:
        self._names = names
        self._limit = limit
        self._lock = threading.Lock()
        self._before = Sample(0, {}, {})
        self._totals: dict[Labels, Total] = {}

    def add(self, sample: Sample, dropped: Collection[Key] = ()) -> None:
        """Take in a sample; one that is older than the last changes nothing.

        The counters `dropped` were taken out of the kernel after it, and begin anew.
        """
        with self._lock:
            if sample.time_ns <= self._before.time_ns:
                return
            counted = sample.since(self._before)
            totals = self._find(counted.keys() | sample.in_flight.keys(), sample.time_ns)
            for key, counter in counted.items():
                totals[key].add(counter, sample.time_ns)
            for total in self._totals.values():
                total.open = 0
            for key, count in sample.in_flight.items():
                totals[key].open += count
            kept = {key: sample.counters[key] for key in sample.counters.keys() - set(dropped)}
            self._before = replace(sample, counters=kept)

    def by_labels(self) -> dict[Labels, Total]:
        """Return copies of the totals as they are now."""
        with self._lock:
            return {labels: replace(total) for labels, total in self._totals.items()}

    def _find(self, keys: set[Key], time_ns: int) -> Mapping[Key, Total]:
        """Return the total that each key counts into, and make those that are missing."""
        trees = {key[:2] for key in keys}
        named = {tree: self._names.server_and_share(*tree) for tree in trees}
        alike: dict[Labels, list[Key]] = defaultdict(list)
        for connection_id, tree_id, command in keys:
            server, share = (name[:MAX_NAME] for name in named[connection_id, tree_id])
            labels = (server, share, smb.command_name(command))
            alike[labels].append((connection_id, tree_id, command))
        idle = self._idle(alike.keys(), time_ns)
        found: dict[Key, Total] = {}
        for labels, of_labels in alike.items():
            found.update(dict.fromkeys(of_labels, self._total(labels, idle)))
        return found

    def _total(self, labels: Labels, idle: Iterator[Labels]) -> Total:
        if labels not in self._totals and len(self._totals.keys() - {OTHERS}) >= self._limit:
            gone = next(idle, None)
            if gone is None:
                labels = OTHERS
            else:
                del self._totals[gone]
        return self._totals.setdefault(labels, Total())

    def _idle(self, wanted: Collection[Labels], time_ns: int) -> Iterator[Labels]:
        """Return the totals that may make way, the one that was idle for longest first."""
        old = [
            (total.changed_ns, labels)
            for labels, total in self._totals.items()
            if labels != OTHERS and labels not in wanted and total.changed_ns < time_ns - FORGET_NS
        ]
        return iter([labels for _, labels in sorted(old)])
