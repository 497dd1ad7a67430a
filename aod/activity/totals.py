"""What was done on each share by each command, added up over all loads of cifs."""

import threading
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from aod import smb
from aod.activity.samples import NOTHING, Counter, Key, Sample
from aod.events import BUCKETS
from aod.smb.names import Names

Place: TypeAlias = tuple[str, str, str]
"""(server, share, command); "" for what has no name."""

MAX_PLACES = 256
OTHERS: Place = ("others", "others", "others")
MAX_NAME = 255
"""Characters of a server's or a share's name; DNS and MS-SRVS have less."""
FORGET_NS = 3_600_000_000_000
"""Idle time after which a place makes way for a new one, when there is none left."""


@dataclass(slots=True)
class Total:
    """What was counted of one place; `latency` has shape (BUCKETS,)."""

    errors: int = 0
    bytes: int = 0
    total_ns: int = 0
    open: int = 0
    latency: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BUCKETS, np.int64))
    changed_ns: int = 0

    def add(self, new: Counter, old: Counter, time_ns: int) -> None:
        """Add what lies between two readings of one counter of the kernel."""
        self.latency = self.latency + np.maximum(new.latency - old.latency, 0)
        self.errors += max(new.errors - old.errors, 0)
        self.bytes += max(new.bytes - old.bytes, 0)
        self.total_ns += max(new.total_ns - old.total_ns, 0)
        self.changed_ns = time_ns


class Operations:
    """Adds up samples of the kernel's counters by the names of their places.

    What comes in is credited to the name that it has at that moment and never moved: totals
    only rise. The kernel's counters have ids, several of which may have one name, and begin
    anew with each load of cifs. At most `limit` places are told apart, the rest is OTHERS; one
    that was idle for an hour makes way for a new one. For any thread.
    """

    def __init__(self, names: Names, limit: int = MAX_PLACES) -> None:
        self._names = names
        self._limit = limit
        self._lock = threading.Lock()
        self._before = Sample(0, {}, {})
        self._totals: dict[Place, Total] = {}

    def add(self, sample: Sample, dropped: Collection[Key] = ()) -> None:
        """Take in a sample; one that is older than the last changes nothing.

        The counters `dropped` were taken out of the kernel after it, and begin anew.
        """
        with self._lock:
            if sample.time_ns <= self._before.time_ns:
                return
            is_same_load = sample.load == self._before.load
            before = self._before.counters if is_same_load else {}
            changed = {
                key: counter
                for key, counter in sample.counters.items()
                if counter.requests != before.get(key, NOTHING).requests
            }
            totals = self._find(changed.keys() | sample.in_flight.keys(), sample.time_ns)
            for key, counter in changed.items():
                old = before.get(key, NOTHING)
                began_anew = counter.requests < old.requests
                totals[key].add(counter, NOTHING if began_anew else old, sample.time_ns)
            for total in self._totals.values():
                total.open = 0
            for key, count in sample.in_flight.items():
                totals[key].open += count
            kept = {key: sample.counters[key] for key in sample.counters.keys() - set(dropped)}
            self._before = replace(sample, counters=kept)

    def totals(self) -> dict[Place, Total]:
        """Return the totals of each place, as they are now."""
        with self._lock:
            return {
                place: Total(each.errors, each.bytes, each.total_ns, each.open, each.latency)
                for place, each in self._totals.items()
            }

    def _find(self, keys: set[Key], time_ns: int) -> Mapping[Key, Total]:
        """Return the total that each key counts into, and make those that are missing."""
        trees = {key[:2] for key in keys}
        named = {tree: self._names.place(*tree) for tree in trees}
        places: dict[Place, list[Key]] = defaultdict(list)
        for connection_id, tree_id, command in keys:
            server, share = (name[:MAX_NAME] for name in named[connection_id, tree_id])
            place = (server, share, smb.command_name(command))
            places[place].append((connection_id, tree_id, command))
        idle = self._idle(places.keys(), time_ns)
        found: dict[Key, Total] = {}
        for place, of_place in places.items():
            found.update(dict.fromkeys(of_place, self._total(place, idle)))
        return found

    def _total(self, place: Place, idle: Iterator[Place]) -> Total:
        if place not in self._totals and len(self._totals.keys() - {OTHERS}) >= self._limit:
            gone = next(idle, None)
            if gone is None:
                place = OTHERS
            else:
                del self._totals[gone]
        return self._totals.setdefault(place, Total())

    def _idle(self, wanted: Collection[Place], time_ns: int) -> Iterator[Place]:
        """Return the places that may make way, the one that was idle for longest first."""
        old = [
            (total.changed_ns, place)
            for place, total in self._totals.items()
            if place != OTHERS and place not in wanted and total.changed_ns < time_ns - FORGET_NS
        ]
        return iter([place for _, place in sorted(old)])
