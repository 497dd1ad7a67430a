"""What is usual: the latency of operations like given ones, as the kernel has counted them."""

import numpy as np
from numpy.typing import NDArray

from aod.activity.histogram import histogram_of, quantile_ns
from aod.events import Events, has_command

ENOUGH = 20
"""Operations below which nothing is called usual."""


def usual_latency_ns(keys: NDArray[np.void], counters: NDArray[np.void], events: Events) -> int:
    """Return the median latency of other operations like `events`, 0 where too few were seen.

    Alike is what has the same connection, tree and command. `keys` (COUNTER_KEY) and
    `counters` (COUNTER) have shape (n,); they include `events`, which are taken out again.
    What has no command is like nothing.
    """
    events = events[has_command(events)]
    alike = np.isin(_identity(keys), _identity(events))
    histogram: NDArray[np.int64] = counters["latency"][alike].sum(axis=0, dtype=np.int64)
    others: NDArray[np.int64] = np.maximum(histogram - histogram_of(events["latency_ns"]), 0)
    return quantile_ns(others, 0.5) if int(others.sum()) >= ENOUGH else 0


def _identity(records: NDArray[np.void]) -> NDArray[np.void]:
    """Return connection, tree and command of (n,) records as one comparable field."""
    identity = np.zeros(records.size, [("connection", "u8"), ("tree", "u4"), ("command", "u4")])
    identity["connection"] = records["connection_id"]
    identity["tree"] = records["tree_id"]
    identity["command"] = records["command"]
    return identity
