import numpy as np
import pytest

from aod.activity.usual import usual_latency_ns
from aod.events import COUNTER, COUNTER_KEY, Kind
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
