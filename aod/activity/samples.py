"""The kernel's counters at one moment, and what they counted since an earlier one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from aod.activity.histogram import upper_bound_ns
from aod.events import BUCKETS

Key: TypeAlias = tuple[int, int, int]
"""(connection id, tree id, command)"""


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

    def since(self, earlier: "Counter") -> "Counter":
        """Return what was counted after an earlier reading; all of it when it began anew since.

        `longest_ns` is that of this time alone: exact when no operation before was slower, else
        the upper bound of its bucket.
        """
        if self.requests < earlier.requests:
            return self
        latency = np.maximum(self.latency - earlier.latency, 0)
        is_slowest = self.longest_ns > earlier.longest_ns
        longest_ns = self.longest_ns if is_slowest else upper_bound_ns(latency)
        return Counter(
            self.requests - earlier.requests,
            max(self.errors - earlier.errors, 0),
            max(self.bytes - earlier.bytes, 0),
            max(self.total_ns - earlier.total_ns, 0),
            min(longest_ns, self.longest_ns),
            latency,
        )


NOTHING = Counter(0, 0, 0, 0, 0, np.zeros(BUCKETS, np.int64))


@dataclass(frozen=True, slots=True)
class Sample:
    """The counters since the load, and how many requests were open, at one CLOCK_MONOTONIC time.

    `load` counts the loads of cifs: with each the counters begin anew.
    """

    time_ns: int
    counters: Mapping[Key, Counter]
    in_flight: Mapping[Key, int]
    load: int = 0

    def since(self, earlier: "Sample") -> dict[Key, Counter]:
        """Return what each counter has counted since an earlier sample, without the idle ones."""
        before = earlier.counters if earlier.load == self.load else {}
        return {
            key: counter.since(before.get(key, NOTHING))
            for key, counter in self.counters.items()
            if counter.requests != before.get(key, NOTHING).requests
        }
