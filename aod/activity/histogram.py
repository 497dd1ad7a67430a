"""Latencies as the kernel counts them: in buckets that double (bpf/event.h)."""

import numpy as np
from numpy.typing import NDArray


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
