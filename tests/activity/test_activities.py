from pathlib import Path

import pytest

from aod.activity.activities import Activity, activity, total
from aod.smb.names import Names
from tests.activity.made import counter, taken

READ, WRITE = 8, 9

DEBUG_DATA = r"""1) ConnectionId: 0x1 Hostname: nas01
	TCP status: 1
		SessionId: 0x7
		Channel: 2 ConnectionId: 0x2
		1) \\nas01\media Mounts: 1 DevInfo: 0x20
		tid: 0x5
"""


@pytest.fixture
def names(tmp_path: Path) -> Names:
    (tmp_path / "DebugData").write_text(DEBUG_DATA)
    known = Names(tmp_path / "DebugData", tmp_path)
    known.refresh()
    return known


def test_only_what_came_since_the_sample_before_counts(names: Names) -> None:
    before = taken(1, {(1, 5, WRITE): counter(*[900_000] * 40, errors=3)})
    after = taken(2, {(1, 5, WRITE): counter(*[900_000] * 40, *[10_000] * 23, errors=4)})

    (found,) = activity(before, after, names)

    assert (found.server, found.share, found.command) == ("nas01", "media", "SMB2_WRITE")
    assert (found.operations, found.errors) == (23, 1)
    assert 8_000_000 <= found.p50_ns < found.p99_ns <= found.max_ns < 17_000_000


def test_the_longest_is_exact_when_none_was_longer_before(names: Names) -> None:
    before = taken(1, {(1, 5, READ): counter(10_000)})
    after = taken(2, {(1, 5, READ): counter(10_000, 300, 12_345)})

    (found,) = activity(before, after, names)

    assert found.max_ns == 12_345_000


def test_no_quantile_is_over_the_longest(names: Names) -> None:
    (found,) = activity(taken(1, {}), taken(2, {(1, 5, READ): counter(1_030)}), names)

    assert found.p50_ns == found.p99_ns == found.max_ns == 1_030_000


def test_the_channels_of_a_share_are_one(names: Names) -> None:
    after = taken(
        2, {(1, 5, READ): counter(100), (2, 5, READ): counter(200, 400)}, {(2, 5, READ): 3}
    )

    (found,) = activity(taken(1, {}), after, names)

    assert (found.operations, found.max_ns, found.in_flight) == (3, 400_000, 3)


def test_what_only_hangs_is_told_and_what_rests_is_not(names: Names) -> None:
    same = {(1, 5, READ): counter(100), (1, 5, WRITE): counter(100)}

    (found,) = activity(taken(1, same), taken(2, same, {(1, 5, WRITE): 2}), names)

    assert (found.command, found.operations, found.in_flight) == ("SMB2_WRITE", 0, 2)
    assert (found.p50_ns, found.p99_ns, found.max_ns) == (0, 0, 0)


def test_an_unknown_tree_is_shown_by_its_ids(names: Names) -> None:
    after = taken(
        2, {(9, 6, READ): counter(100), (1, 6, READ): counter(100), (1, 0, 13): counter(1)}
    )

    found = activity(taken(1, {}), after, names)

    assert {(each.server, each.share) for each in found} == {
        ("connection 0x9", "tree 0x6"),
        ("nas01", "tree 0x6"),
        ("nas01", ""),
    }


def test_the_total_is_that_of_all_operations() -> None:
    after = taken(2, {(1, 5, READ): counter(100), (9, 6, WRITE): counter(8_000)}, {(1, 5, READ): 1})

    found = total(taken(1, {}), after)

    assert (found.operations, found.max_ns, found.in_flight) == (2, 8_000_000, 1)


def test_counters_that_begin_anew_are_taken_as_they_are(names: Names) -> None:
    before = taken(1, {(1, 5, READ): counter(100, 100, 100)})

    (found,) = activity(before, taken(2, {(1, 5, READ): counter(100)}), names)

    assert found.operations == 1


def test_nothing_at_all_is_an_empty_total(names: Names) -> None:
    assert activity(taken(1, {}), taken(2, {}), names) == []
    assert total(taken(1, {}), taken(2, {})) == Activity("", "", "", 0, 0, 0, 0, 0, 0, 0)
