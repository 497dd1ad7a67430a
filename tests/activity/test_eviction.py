from dataclasses import replace

import pytest

from aod.activity.eviction import IdleCounters
from aod.activity.samples import NOTHING, Sample

CAPACITY = 3
"""Three quarters of it are two."""


def sampled(*requests: int, load: int = 1, open_key: int | None = None) -> Sample:
    """Counters of trees 0, 1, ... with so many requests each."""
    counters = {(1, tree, 8): replace(NOTHING, requests=n) for tree, n in enumerate(requests)}
    return Sample(1, counters, {} if open_key is None else {(1, open_key, 8): 1}, load)


def test_what_counted_nothing_since_the_look_before_is_idle() -> None:
    idle = IdleCounters()

    assert idle.find(sampled(5, 5, 5), CAPACITY) == []
    assert idle.find(sampled(5, 6, 5, 1), CAPACITY) == [(1, 0, 8), (1, 2, 8)]


@pytest.mark.parametrize(
    "later",
    [sampled(5, 5), sampled(5, 5, 5, load=2), sampled(6, 6, 6), sampled(6, 5, 6, open_key=1)],
    ids=["there is room", "another load", "all are in use", "a request is open"],
)
def test_nothing_is_idle_while(later: Sample) -> None:
    idle = IdleCounters()
    idle.find(sampled(5, 5, 5), CAPACITY)

    assert idle.find(later, CAPACITY) == []
