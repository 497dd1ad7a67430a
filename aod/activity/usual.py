"""What is usual: latencies as the kernel counts them, by connection, tree and command."""

import numpy as np
from numpy.typing import NDArray

from aod.activity.histogram import quantile_ns
from aod.activity.samples import Key, Sample
from aod.events import BUCKETS, Events, has_command

ENOUGH = 20
"""Operations below which nothing is called usual."""


class IdleCounters:
    """Finds the counters in which nothing was counted since the look before.

    With each mount come about a dozen of them, and none goes by itself: after some hundred mounts
    the map would be full, and what is new not counted.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._before = Sample(0, {}, {})

    def find(self, sample: Sample) -> list[Key]:
        """Return the keys of those that are idle, none while there is room."""
        before, self._before = self._before, sample
        if len(sample.counters) <= self._room or before.load != sample.load:
            return []
        return [
            key
            for key, counter in sample.counters.items()
            if key in before.counters
            and counter.requests == before.counters[key].requests
            and key not in sample.in_flight
        ]


def usual_latency_ns(keys: NDArray[np.void], counters: NDArray[np.void], events: Events) -> int:
    """Return the median latency of other operations like `events`, 0 where too few were seen.

    Alike is what has the same connection, tree and command. `keys` (COUNTER_KEY) and
    `counters` (COUNTER) have shape (n,); they include `events`, which are taken out again.
    What has no command is like nothing.
    """
    events = events[has_command(events)]
    alike = np.isin(_identity(keys), _identity(events))
    histogram: NDArray[np.int64] = counters["latency"][alike].sum(axis=0, dtype=np.int64)
    others: NDArray[np.int64] = np.maximum(histogram - _histogram(events["latency_ns"]), 0)
    return quantile_ns(others, 0.5) if int(others.sum()) >= ENOUGH else 0


def _histogram(latencies_ns: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return how many latencies fall into each bucket, as the kernel's side counts them."""
    microseconds = np.maximum(latencies_ns // 1000, 1).astype(np.int64)
    buckets = np.minimum(np.log2(microseconds).astype(np.intp), BUCKETS - 1)
    return np.bincount(buckets, minlength=BUCKETS)


def _identity(records: NDArray[np.void]) -> NDArray[np.void]:
    """Return connection, tree and command of (n,) records as one comparable field."""
    identity = np.zeros(records.size, [("connection", "u8"), ("tree", "u4"), ("command", "u4")])
    identity["connection"] = records["connection_id"]
    identity["tree"] = records["tree_id"]
    identity["command"] = records["command"]
    return identity
