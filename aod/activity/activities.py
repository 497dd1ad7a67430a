"""What goes on: what was done on each share by each command between two samples."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from aod import smb
from aod.activity.histogram import quantile_ns
from aod.activity.samples import NOTHING, Counter, Key, Sample


class TreeNames(Protocol):
    """Knows what the trees of connections are called."""

    def server_and_share(self, connection_id: int, tree_id: int) -> tuple[str, str]:
        """Return both names, "" for what has none."""


@dataclass(frozen=True, slots=True)
class KnownTrees:
    """Names that somebody else has looked up, by connection id and tree id."""

    names: Mapping[tuple[int, int], tuple[str, str]]

    def server_and_share(self, connection_id: int, tree_id: int) -> tuple[str, str]:
        """Return both names, "" for what has none."""
        return self.names.get((connection_id, tree_id), ("", ""))


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
class Activities:
    """What went on within one interval that ended at `time` (UTC, ISO 8601), in some order."""

    time: str
    interval_s: float
    activities: Sequence[Activity]
    total: Activity


def activity(before: Sample, after: Sample, names: TreeNames) -> list[Activity]:
    """Return what was done, or is being done, between two samples, for each share and command."""
    counted = after.since(before)
    keys: dict[tuple[str, str, str], list[Key]] = {}
    for key in counted.keys() | after.in_flight.keys():
        keys.setdefault((*_shown(key, names), smb.command_name(key[2])), []).append(key)
    return [_activity(labels, alike, counted, after.in_flight) for labels, alike in keys.items()]


def total(before: Sample, after: Sample) -> Activity:
    """Return all of it as one."""
    counted = after.since(before)
    keys = counted.keys() | after.in_flight.keys()
    return _activity(("", "", ""), keys, counted, after.in_flight)


def _shown(key: Key, names: TreeNames) -> tuple[str, str]:
    """Return the names of a server and a share, or the ids where they have none."""
    connection_id, tree_id, _ = key
    server, share = names.server_and_share(connection_id, tree_id)
    tree = f"tree 0x{tree_id:x}" if tree_id else ""
    return server or f"connection 0x{connection_id:x}", share or tree


def _activity(
    labels: tuple[str, str, str],
    keys: Collection[Key],
    counted: Mapping[Key, Counter],
    in_flight: Mapping[Key, int],
) -> Activity:
    counters = [counted[key] for key in keys if key in counted]
    latency = sum((each.latency for each in counters), start=NOTHING.latency)
    longest_ns = max((each.longest_ns for each in counters), default=0)
    return Activity(
        *labels,
        operations=sum(each.requests for each in counters),
        errors=sum(each.errors for each in counters),
        bytes=sum(each.bytes for each in counters),
        p50_ns=min(quantile_ns(latency, 0.5), longest_ns),
        p99_ns=min(quantile_ns(latency, 0.99), longest_ns),
        max_ns=longest_ns,
        in_flight=sum(in_flight.get(key, 0) for key in keys),
    )
