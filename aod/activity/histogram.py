"""Latencies as the kernel counts them: in buckets that double (bpf/event.h)."""

import numpy as np
from numpy.typing import NDArray

from aod.events import BUCKETS

NEVER_NS = int(np.iinfo(np.int64).max)
"""The last bucket has no upper bound."""


def histogram_of(latencies_ns: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return how many latencies fall into each bucket, as the kernel's side counts them."""
    microseconds = np.maximum(latencies_ns // 1000, 1).astype(np.int64)
    buckets = np.minimum(np.log2(microseconds).astype(np.intp), BUCKETS - 1)
    return np.bincount(buckets, minlength=BUCKETS)


def quantile_ns(histogram: NDArray[np.int64], quantile: float) -> int:
    """Return a quantile of a histogram of shape (BUCKETS,), 0 when it is empty.

    Within a bucket the operations are taken as evenly spread: it is right within a factor
    of two.
    """
    total = int(histogram.sum())
    if not total:
        return 0
    rank = max(1.0, quantile * total)
    reached = np.cumsum(histogram)
    bucket = int(np.searchsorted(reached, rank))
    part = 1 - (int(reached[bucket]) - rank) / int(histogram[bucket])
    return int(2**bucket * (1 + part) * 1000)


def upper_bound_ns(histogram: NDArray[np.int64]) -> int:
    """Return what no latency of a histogram reaches, 0 when it is empty."""
    buckets = np.flatnonzero(histogram)
    if not buckets.size:
        return 0
    highest = int(buckets[-1])
    return NEVER_NS if highest == BUCKETS - 1 else 2 ** (highest + 1) * 1000
