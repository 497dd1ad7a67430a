from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aod.activity.histogram import quantile_ns
from aod.activity.samples import NOTHING, Sample
from aod.activity.usual import IdleCounters, usual_latency_ns
from aod.events import BUCKETS, COUNTER, COUNTER_KEY, Kind
from tests.events import MS, make


def counted(*latencies_ms: int, command: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """One counter of connection 1, tree 5, as the kernel's side would have it."""
    keys, counters = np.zeros(1, COUNTER_KEY), np.zeros(1, COUNTER)
    keys["connection_id"], keys["tree_id"], keys["command"] = 1, 5, command
    for latency_ms in latencies_ms:
        counters["latency"][0, (latency_ms * 1000).bit_length() - 1] += 1
    return keys, counters


def operations(*latencies_ms: int) -> np.ndarray:
    latencies_ns = [latency_ms * MS for latency_ms in latencies_ms]
    return make(
        *range(len(latencies_ms)), latency_ns=latencies_ns, connection_id=1, tree_id=5, command=8
    )


def test_the_usual_latency_is_that_of_the_others() -> None:
    keys, counters = counted(*[10] * 50, 900, 900)

    usual_ns = usual_latency_ns(keys, counters, operations(900, 900))

    assert 5 * MS < usual_ns < 20 * MS


@pytest.mark.parametrize(("healthy", "command"), [(19, 8), (50, 9)])
def test_nothing_is_usual_where_too_little_like_it_was_seen(healthy: int, command: int) -> None:
    keys, counters = counted(*[10] * healthy, command=command)

    assert usual_latency_ns(keys, counters, operations(900)) == 0


def test_a_wait_for_credits_is_not_compared_with_the_negotiations() -> None:
    keys, counters = counted(*[10] * 50, command=0)
    keys["tree_id"] = 0
    waits = make(1, kind=Kind.CREDIT_WAIT, connection_id=1, latency_ns=900 * MS)

    assert usual_latency_ns(keys, counters, waits) == 0


@given(st.lists(st.integers(1, 2**26), min_size=1), st.floats(0, 1))
def test_a_quantile_is_right_within_a_factor_of_two(
    latencies_us: list[int], quantile: float
) -> None:
    histogram = np.zeros(BUCKETS, np.int64)
    for latency_us in latencies_us:
        histogram[latency_us.bit_length() - 1] += 1

    found_ns = quantile_ns(histogram, quantile)

    exact_us = np.quantile(latencies_us, quantile, method="inverted_cdf")
    assert exact_us / 2 <= found_ns / 1000 <= exact_us * 2


def test_an_empty_histogram_has_no_quantile() -> None:
    assert quantile_ns(np.zeros(BUCKETS, np.int64), 0.5) == 0


def sampled(*requests: int, load: int = 1, open_key: int | None = None) -> Sample:
    """Counters of trees 0, 1, ... with so many requests each."""
    counters = {(1, tree, 8): replace(NOTHING, requests=n) for tree, n in enumerate(requests)}
    return Sample(1, counters, {} if open_key is None else {(1, open_key, 8): 1}, load)


def test_what_counted_nothing_since_the_look_before_is_idle() -> None:
    idle = IdleCounters(room=2)

    assert idle.find(sampled(5, 5, 5)) == []
    assert idle.find(sampled(5, 6, 5, 1)) == [(1, 0, 8), (1, 2, 8)]


@pytest.mark.parametrize(
    "later",
    [sampled(5, 5), sampled(5, 5, 5, load=2), sampled(6, 6, 6), sampled(6, 5, 6, open_key=1)],
    ids=["there is room", "another load", "all are in use", "a request is open"],
)
def test_nothing_is_idle_while(later: Sample) -> None:
    idle = IdleCounters(room=2)
    idle.find(sampled(5, 5, 5))

    assert idle.find(later) == []
