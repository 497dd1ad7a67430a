from typing import Any, cast

import numpy as np

from aod.events import BUCKETS, COUNTER, COUNTER_KEY, REQUEST, REQUEST_KEY
from aod.tracer.program import Tracer
from aod.tracer.sampling import sample

READ, WRITE = 8, 9


class FakeTracer:
    """Three reads of 1 to 2 ms, one of them in vain; two writes that are not answered."""

    def counters(self) -> tuple[Any, Any]:
        keys, counters = np.zeros(1, COUNTER_KEY), np.zeros(1, COUNTER)
        keys["connection_id"], keys["tree_id"], keys["command"] = 1, 5, READ
        counters["errors"], counters["bytes"] = 1, 4096
        counters["total_ns"], counters["longest_ns"] = 4_000_000, 1_900_000
        counters["latency"][0, 10] = 3
        return keys, counters

    def open_requests(self) -> tuple[Any, Any]:
        keys, requests = np.zeros(2, REQUEST_KEY), np.zeros(2, REQUEST)
        keys["connection_id"] = 2
        requests["tree_id"], requests["command"] = 5, WRITE
        return keys, requests


def test_a_sample_holds_each_counter_and_what_is_open_by_tree_and_command() -> None:
    taken = sample(cast(Tracer, FakeTracer()))

    counter = taken.counters[1, 5, READ]
    assert (counter.requests, counter.errors, counter.bytes) == (3, 1, 4096)
    assert (counter.total_ns, counter.longest_ns) == (4_000_000, 1_900_000)
    assert counter.latency.tolist() == [3 if bucket == 10 else 0 for bucket in range(BUCKETS)]
    assert taken.in_flight == {(2, 5, WRITE): 2}
