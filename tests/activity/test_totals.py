from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from aod.activity.samples import Counter, Key, Sample
from aod.activity.totals import FORGET_NS, OTHERS, Totals
from aod.events import BUCKETS
from aod.smb.names import Names

SECOND = 1_000_000_000
READ, WRITE = 8, 9
MEDIA_READ = ("nas01", "media", "SMB2_READ")
SHARE = "\t\t{number}) \\\\nas01\\{name} Mounts: 1 DevInfo: 0x20\n\t\ttid: 0x{tree:x}\n"


class Mounts:
    """DebugData of one server with a primary connection and a channel, as a test mounts shares."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "DebugData"
        self.names = Names(self._path, folder)

    def are(self, shares: Mapping[int, str]) -> None:
        lines = "1) ConnectionId: 0x1 Hostname: nas01\n\tTCP status: 1\n\t\tSessionId: 0x7\n"
        lines += "\t\tChannel: 2 ConnectionId: 0x2\n"
        trees = enumerate(shares.items(), 1)
        lines += "".join(SHARE.format(number=n, name=name, tree=tree) for n, (tree, name) in trees)
        self._path.write_text(lines)
        self.names.refresh()


@pytest.fixture
def mounts(tmp_path: Path) -> Mounts:
    made = Mounts(tmp_path)
    made.are({5: "media"})
    return made


def counter(requests: int, *, errors: int = 0, size: int = 0, bucket: int = 10) -> Counter:
    """What the kernel counted of so many requests of 1 ms each."""
    latency = np.zeros(BUCKETS, np.int64)
    latency[bucket] = requests
    return Counter(requests, errors, size, requests * 1_000_000, 1_000_000, latency)


def at(
    second: int, counters: Mapping[Key, Counter], load: int = 1, **more: dict[Key, int]
) -> Sample:
    return Sample(second * SECOND, counters, more.get("in_flight", {}), load)


def requests(totals: Totals) -> dict[tuple[str, str, str], int]:
    return {labels: int(each.latency.sum()) for labels, each in totals.by_labels().items()}


def test_what_lies_between_two_samples_is_added(mounts: Mounts) -> None:
    totals = Totals(mounts.names)

    totals.add(at(1, {(1, 5, READ): counter(3, errors=1, size=100)}))
    totals.add(at(2, {(1, 5, READ): counter(5, errors=2, size=160)}))

    total = totals.by_labels()[MEDIA_READ]
    assert (int(total.latency[10]), total.errors, total.bytes) == (5, 2, 160)
    assert total.total_ns == 5_000_000


def test_ids_of_one_name_are_one_series(mounts: Mounts) -> None:
    mounts.are({5: "media", 6: "media"})
    totals = Totals(mounts.names)

    totals.add(
        at(1, {(1, 5, READ): counter(1), (2, 5, READ): counter(2), (1, 6, READ): counter(4)})
    )

    assert requests(totals) == {MEDIA_READ: 7}


def test_another_load_of_cifs_goes_on_from_where_the_last_one_ended(mounts: Mounts) -> None:
    totals = Totals(mounts.names)

    totals.add(at(1, {(1, 5, READ): counter(10)}))
    totals.add(at(2, {}))
    totals.add(at(3, {(1, 5, READ): counter(10)}, load=2))
    totals.add(at(4, {(1, 5, READ): counter(12)}, load=2))

    assert requests(totals) == {MEDIA_READ: 22}


def test_a_counter_that_the_kernel_lost_goes_on_from_where_it_was(mounts: Mounts) -> None:
    totals = Totals(mounts.names)

    totals.add(at(1, {(1, 5, READ): counter(10)}), dropped=[(1, 5, READ)])
    assert requests(totals) == {MEDIA_READ: 10}
    totals.add(at(2, {(1, 5, READ): counter(15)}))
    totals.add(at(3, {(1, 5, READ): counter(2)}))

    assert requests(totals) == {MEDIA_READ: 27}


def test_a_sample_that_comes_late_changes_nothing(mounts: Mounts) -> None:
    totals = Totals(mounts.names)

    totals.add(at(2, {(1, 5, READ): counter(10)}))
    totals.add(at(1, {(1, 5, READ): counter(8)}))
    totals.add(at(3, {(1, 5, READ): counter(11)}))

    assert requests(totals) == {MEDIA_READ: 11}


def test_a_name_that_comes_late_takes_what_comes_after_it(mounts: Mounts) -> None:
    totals = Totals(mounts.names)

    totals.add(at(1, {(1, 9, READ): counter(2)}))
    mounts.are({5: "media", 9: "backup"})
    totals.add(at(2, {(1, 9, READ): counter(5)}))

    assert requests(totals) == {
        ("nas01", "", "SMB2_READ"): 2,
        ("nas01", "backup", "SMB2_READ"): 3,
    }


def test_a_tree_id_that_is_given_out_anew_moves_nothing(mounts: Mounts) -> None:
    totals = Totals(mounts.names)

    totals.add(at(1, {(1, 5, READ): counter(4)}))
    mounts.are({5: "backup"})
    totals.add(at(2, {(1, 5, READ): counter(7)}))

    assert requests(totals) == {MEDIA_READ: 4, ("nas01", "backup", "SMB2_READ"): 3}


def test_what_is_over_the_limit_counts_as_others(mounts: Mounts) -> None:
    totals = Totals(mounts.names, limit=1)

    totals.add(at(1, {(1, 5, READ): counter(1)}))
    totals.add(at(2, {(1, 5, READ): counter(2), (1, 5, WRITE): counter(4)}))
    totals.add(at(3, {(1, 5, READ): counter(3), (1, 5, WRITE): counter(6)}))

    assert requests(totals) == {MEDIA_READ: 3, OTHERS: 6}


def test_no_total_falls_whatever_comes(mounts: Mounts) -> None:
    totals, seen = Totals(mounts.names, limit=3), dict[tuple[str, str, str], int]()
    random = np.random.default_rng(4)

    counts, load = dict.fromkeys(range(1, 9), 0), 1
    for second in range(1, 200):
        if random.random() < 0.05:
            counts, load = dict.fromkeys(range(1, 9), 0), load + 1
        counts = {tree: count + int(random.integers(0, 3)) for tree, count in counts.items()}
        mounts.are({int(tree): f"share{random.integers(3)}" for tree in random.permutation(8)[:4]})
        totals.add(at(second, {(1, tree, READ): counter(n) for tree, n in counts.items()}, load))
        now = requests(totals)
        assert {labels for labels in seen if now[labels] < seen[labels]} == set()
        seen = now


def test_an_idle_total_makes_way_after_an_hour(mounts: Mounts) -> None:
    totals = Totals(mounts.names, limit=1)
    hour = FORGET_NS // SECOND

    totals.add(at(1, {(1, 5, READ): counter(1)}))
    totals.add(at(hour, {(1, 5, READ): counter(1), (1, 5, WRITE): counter(4)}))
    totals.add(at(hour + 2, {(1, 5, READ): counter(1), (1, 5, WRITE): counter(5)}))

    assert requests(totals) == {OTHERS: 4, ("nas01", "media", "SMB2_WRITE"): 1}


def test_open_requests_are_those_of_the_last_sample(mounts: Mounts) -> None:
    totals = Totals(mounts.names)

    totals.add(at(1, {(1, 5, READ): counter(1)}, in_flight={(1, 5, READ): 2, (2, 5, READ): 1}))
    assert totals.by_labels()[MEDIA_READ].open == 3
    totals.add(at(2, {(1, 5, READ): counter(1)}))

    assert totals.by_labels()[MEDIA_READ].open == 0


def test_a_name_without_end_is_cut(mounts: Mounts) -> None:
    mounts.are({5: "x" * 10_000})
    totals = Totals(mounts.names)

    totals.add(at(1, {(1, 5, READ): counter(1)}))

    assert [len(share) for _, share, _ in totals.by_labels()] == [255]
