"""Samples that are made up."""

from collections.abc import Mapping

import numpy as np

from aod.activity.samples import Counter, Key, Sample
from aod.events import BUCKETS

SECOND = 1_000_000_000


def counter(*latencies_us: int, errors: int = 0) -> Counter:
    """What the kernel would have counted of operations that took so long."""
    latency = np.zeros(BUCKETS, np.int64)
    for latency_us in latencies_us:
        latency[latency_us.bit_length() - 1] += 1
    longest_ns = max(latencies_us, default=0) * 1000
    total_ns = sum(latencies_us) * 1000
    return Counter(len(latencies_us), errors, 0, total_ns, longest_ns, latency)


def taken(
    at_s: int, counters: Mapping[Key, Counter], in_flight: Mapping[Key, int] | None = None
) -> Sample:
    return Sample(at_s * SECOND, counters, in_flight or {})
