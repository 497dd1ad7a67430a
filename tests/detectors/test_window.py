import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aod.detectors.window import DISORDER, Window
from aod.events import empty
from tests.events import MS, SECOND, make


def offline(times_ns: list[int], k: int, interval_ns: int) -> list[int]:
    """The rule as DESIGN.md words it, over the whole stream at once."""
    ordered = sorted(times_ns)
    evidence: set[int] = set()
    for i in range(k, len(ordered)):
        if ordered[i] - ordered[i - k] < interval_ns:
            evidence.update(range(i - k, i + 1))
    return [ordered[i] for i in sorted(evidence)]


@pytest.mark.parametrize(
    ("acceptable_count", "times_ns", "told"),
    [
        (0, [1], 1),
        (2, [1, 2], 0),
        (2, [1, 2, 3], 3),
        (2, [1, 2, SECOND + 1], 0),
        (2, [1, 2, SECOND], 3),
        (1, [0, 2 * SECOND, 2 * SECOND + 1], 2),
    ],
)
def test_more_than_acceptable_within_the_interval_is_evidence(
    acceptable_count: int, times_ns: list[int], told: int
) -> None:
    window = Window(acceptable_count, SECOND)

    evidence = window.feed(make(*times_ns))

    assert evidence.events.size == told


def test_it_is_raised_by_the_violation_that_is_one_too_many() -> None:
    window = Window(2, SECOND)
    window.feed(make(10 * MS, 20 * MS))

    evidence = window.feed(make(30 * MS, 40 * MS))

    assert evidence.raised_ns == 30 * MS
    assert list(evidence.events["time_ns"]) == [10 * MS, 20 * MS, 30 * MS, 40 * MS]


def test_one_that_raises_alone_is_told_without_the_others() -> None:
    window = Window(10, SECOND)

    evidence = window.feed(make(1, 2, 3), alone=np.array([False, True, False]))

    assert list(evidence.events["time_ns"]) == [2]
    assert evidence.raised_ns == 2


@given(
    gaps_ns=st.lists(st.sampled_from([0, 1, 250 * MS, 999 * MS, SECOND]), max_size=60),
    cuts=st.lists(st.integers(0, 60)),
    acceptable_count=st.integers(0, 8),
)
def test_any_split_into_batches_gives_the_same_evidence(
    gaps_ns: list[int], cuts: list[int], acceptable_count: int
) -> None:
    times_ns = list(np.cumsum(gaps_ns, dtype=np.int64))
    window = Window(acceptable_count, SECOND)

    batches = np.split(make(*times_ns), sorted(cut for cut in cuts if cut <= len(times_ns)))
    told = [window.feed(batch).events for batch in batches]

    together = np.concatenate([empty(), *told])
    assert sorted(together["time_ns"]) == offline(times_ns, acceptable_count, SECOND)


@given(st.permutations(range(DISORDER // 2)), st.integers(0, 5))
def test_disorder_between_cpus_changes_nothing(places: list[int], acceptable_count: int) -> None:
    times_ns = [place * 300 * MS for place in places]
    window = Window(acceptable_count, SECOND)

    told = [window.feed(make(time_ns)).events["time_ns"] for time_ns in times_ns]

    assert sorted(np.concatenate(told)) == offline(times_ns, acceptable_count, SECOND)


def test_memory_is_bounded_by_the_acceptable_count() -> None:
    window = Window(5, SECOND)

    for start in range(0, 50_000, 1000):
        window.feed(make(*range(start, start + 1000)))

    assert window._recent.size == 5 + DISORDER
