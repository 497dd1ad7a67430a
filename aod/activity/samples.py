"""What goes on: two samples of the kernel's counters, and what lies between them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aod import smb
from aod.activity.histogram import quantile_ns
from aod.events import BUCKETS
from aod.smb.names import Names

Key: TypeAlias = tuple[int, int, int]
"""(connection id, tree id, command)"""


NUMBERS = ("requests", "errors", "bytes", "total_ns", "longest_ns")
"""The fields of a Counter besides its histogram."""


@dataclass(frozen=True, slots=True)
class Counter:
    """What was counted of one Key; `latency` has shape (BUCKETS,), as in struct aod_counter.

    `total_ns` is the sum of all latencies.
    """

    requests: int
    errors: int
    bytes: int
    total_ns: int
    longest_ns: int
    latency: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sample:
    """The counters since the load, and how many requests were open, at one CLOCK_MONOTONIC time.

    `load` tells the loads of cifs apart: with each the counters begin anew.
    """

    time_ns: int
    counters: Mapping[Key, Counter]
    in_flight: Mapping[Key, int]
    load: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it: a list for each Key, with what belongs to it."""
        counters = [
            (*key, *(getattr(each, name) for name in NUMBERS), each.latency.tolist())
            for key, each in self.counters.items()
        ]
        in_flight = [(*key, count) for key, count in self.in_flight.items()]
        told = {"time_ns": self.time_ns, "load": self.load}
        return {**told, "counters": counters, "in_flight": in_flight}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Return what `as_dict` gave; raises ValueError, TypeError or KeyError for another."""
        counters = {}
        for connection_id, tree_id, command, *numbers, latency in plain["counters"]:
            histogram = np.array(latency, np.int64)
            if histogram.shape != (BUCKETS,):
                raise ValueError(f"a histogram of shape {histogram.shape}")
            named = dict(zip(NUMBERS, numbers, strict=True))
            counters[connection_id, tree_id, command] = Counter(**named, latency=histogram)
        in_flight = {(each[0], each[1], each[2]): each[3] for each in plain["in_flight"]}
        return cls(plain["time_ns"], counters, in_flight, plain["load"])


@dataclass(frozen=True, slots=True)
class Activity:
    """What one command did on one share between two samples; all operations, aod's own left out.

    Quantiles are right within a factor of two. `max_ns` is exact when no operation before was
    slower, else the upper bound of its bucket.
    """

    server: str
    share: str
    command: str
    operations: int
    errors: int
    bytes: int
    p50_ns: int
    p99_ns: int
    max_ns: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What went on within one interval that ended at `time` (UTC, ISO 8601), in some order."""

    time: str
    interval_s: float
    activities: Sequence[Activity]
    total: Activity


NOTHING = Counter(0, 0, 0, 0, 0, np.zeros(BUCKETS, np.int64))


def activity(before: Sample, after: Sample, names: Names) -> list[Activity]:
    """Return what was done, or is being done, between two samples, for each share and command."""
    places: dict[tuple[str, str, str], list[Key]] = {}
    for key in after.counters.keys() | after.in_flight.keys():
        places.setdefault((*_place(key, names), smb.command_name(key[2])), []).append(key)
    found = [
        _activity(place, [_between(before, after, key) for key in keys], keys, after)
        for place, keys in places.items()
    ]
    return [each for each in found if each.operations or each.in_flight]


def total(before: Sample, after: Sample) -> Activity:
    """Return all of it as one."""
    counters = [_between(before, after, key) for key in after.counters]
    return _activity(("", "", ""), counters, after.in_flight, after)


def _place(key: Key, names: Names) -> tuple[str, str]:
    connection_id, tree_id, _ = key
    server, share = names.place(connection_id, tree_id)
    tree = f"tree 0x{tree_id:x}" if tree_id else ""
    return server or f"connection 0x{connection_id:x}", share or tree


def _between(before: Sample, after: Sample, key: Key) -> Counter:
    """Return what was counted between two samples; `longest_ns` is that of this time alone."""
    new, old = after.counters.get(key, NOTHING), before.counters.get(key, NOTHING)
    if new.requests < old.requests:  # the programs were loaded anew
        old = NOTHING
    latency = np.maximum(new.latency - old.latency, 0)
    return Counter(
        new.requests - old.requests,
        new.errors - old.errors,
        new.bytes - old.bytes,
        new.total_ns - old.total_ns,
        _longest_ns(new.longest_ns, old.longest_ns, latency),
        latency,
    )


def _longest_ns(new_ns: int, old_ns: int, latency: NDArray[np.int64]) -> int:
    if new_ns > old_ns:
        return new_ns
    buckets = np.flatnonzero(latency)
    if not buckets.size:
        return 0
    highest = int(buckets[-1])
    # The last bucket has no upper bound.
    return new_ns if highest == BUCKETS - 1 else min(2 ** (highest + 1) * 1000, new_ns)


def _activity(
    place: tuple[str, str, str], counters: Iterable[Counter], keys: Iterable[Key], after: Sample
) -> Activity:
    counted = list(counters)
    latency = sum((each.latency for each in counted), start=NOTHING.latency)
    longest_ns = max((each.longest_ns for each in counted), default=0)
    return Activity(
        *place,
        operations=sum(each.requests for each in counted),
        errors=sum(each.errors for each in counted),
        bytes=sum(each.bytes for each in counted),
        p50_ns=min(quantile_ns(latency, 0.5), longest_ns),
        p99_ns=min(quantile_ns(latency, 0.99), longest_ns),
        max_ns=longest_ns,
        in_flight=sum(after.in_flight.get(key, 0) for key in keys),
    )
