import pytest
from hypothesis import given
from hypothesis import strategies as st

from aod.activity.samples import NOTHING, Sample
from tests.activity.made import counter, taken

READ, WRITE = 8, 9


def test_what_was_counted_since_is_the_difference() -> None:
    earlier = counter(900, 12_345, errors=1)

    found = counter(900, 12_345, 300, 5_000, errors=2).since(earlier)

    assert (found.requests, found.errors, found.total_ns) == (2, 1, 5_300_000)
    assert found.latency.tolist() == counter(300, 5_000).latency.tolist()


@pytest.mark.parametrize(
    ("earlier", "later", "longest_ns"),
    [
        ((100,), (100, 12_345), 12_345_000),
        ((90_000,), (90_000, 12_345), 16_384_000),
        ((90_000,), (90_000, 80_000), 90_000_000),
        ((200_000_000,), (200_000_000, 150_000_000), 200_000_000_000),
        ((100,), (100,), 0),
    ],
    ids=["a slower one", "a faster one", "one of its bucket", "one without a bound", "none"],
)
def test_the_longest_since_is_exact_or_the_bound_of_its_bucket(
    earlier: tuple[int, ...], later: tuple[int, ...], longest_ns: int
) -> None:
    assert counter(*later).since(counter(*earlier)).longest_ns == longest_ns


def test_a_counter_that_began_anew_is_taken_as_it_is() -> None:
    new = counter(100)

    assert new.since(counter(900, 900)) is new
    assert new.since(NOTHING).longest_ns == 100_000


@given(st.lists(st.integers(1, 2**26)), st.lists(st.integers(1, 2**26)))
def test_nothing_is_ever_counted_below_zero(earlier: list[int], later: list[int]) -> None:
    found = counter(*later).since(counter(*earlier))

    assert min(found.requests, found.total_ns, found.longest_ns, *found.latency.tolist()) >= 0


def test_counters_that_rest_are_not_among_those_since() -> None:
    before = taken(1, {(1, 5, READ): counter(100), (1, 5, WRITE): counter(100)})
    after = taken(2, {(1, 5, READ): counter(100), (1, 5, WRITE): counter(100, 100)})

    assert {key: each.requests for key, each in after.since(before).items()} == {(1, 5, WRITE): 1}


def test_with_another_load_of_cifs_all_counts() -> None:
    before = Sample(1, {(1, 5, READ): counter(100)}, {}, load=1)
    after = Sample(2, {(1, 5, READ): counter(100, 100)}, {}, load=2)

    assert after.since(before)[1, 5, READ].requests == 2
