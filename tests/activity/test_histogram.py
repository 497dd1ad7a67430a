import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aod.activity.histogram import histogram_of, quantile_ns, upper_bound_ns
from aod.events import BUCKETS


@given(st.lists(st.integers(1, 2**26), min_size=1), st.floats(0, 1))
def test_a_quantile_is_right_within_a_factor_of_two(
    latencies_us: list[int], quantile: float
) -> None:
    histogram = histogram_of(np.array(latencies_us, np.uint64) * 1000)

    found_ns = quantile_ns(histogram, quantile)

    exact_us = np.quantile(latencies_us, quantile, method="inverted_cdf")
    assert exact_us / 2 <= found_ns / 1000 <= exact_us * 2


def test_an_empty_histogram_has_no_quantile() -> None:
    assert quantile_ns(np.zeros(BUCKETS, np.int64), 0.5) == 0


@given(st.integers(1, 2**40))
def test_a_latency_is_in_the_bucket_of_its_highest_bit(latency_us: int) -> None:
    histogram = histogram_of(np.array([latency_us * 1000], np.uint64))

    assert histogram[min(latency_us.bit_length(), BUCKETS) - 1] == histogram.sum() == 1


@given(st.lists(st.integers(0, 2**26)))
def test_no_latency_reaches_the_upper_bound(latencies_us: list[int]) -> None:
    histogram = histogram_of(np.array(latencies_us, np.uint64) * 1000)

    assert upper_bound_ns(histogram) > max(latencies_us, default=-1) * 1000
