"""Samples of the kernel's counters."""

import time

import numpy as np
from numpy.typing import NDArray

from aod.activity.samples import Counter, Key, Sample
from aod.tracer.absent import AbsentTracer
from aod.tracer.program import Tracer


def sample(tracer: Tracer | AbsentTracer) -> Sample:
    """Read the counters and the open requests; blocks."""
    time_ns = time.monotonic_ns()
    keys, counters = tracer.counters()
    latency = counters["latency"].astype(np.int64)
    names = ("errors", "bytes", "total_ns", "longest_ns")
    columns = [counters[name].tolist() for name in names]
    counted = map(Counter, latency.sum(axis=1).tolist(), *columns, latency)
    open_keys, requests = tracer.open_requests()
    in_flight: dict[Key, int] = {}
    for key in _keys(open_keys["connection_id"], requests):
        in_flight[key] = in_flight.get(key, 0) + 1
    return Sample(
        time_ns, dict(zip(_keys(keys["connection_id"], keys), counted, strict=True)), in_flight
    )


def _keys(connections: NDArray[np.uint64], records: NDArray[np.void]) -> list[Key]:
    columns = (connections, records["tree_id"], records["command"])
    return list(zip(*(column.tolist() for column in columns), strict=True))
