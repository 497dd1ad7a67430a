"""Which operations an anomaly is about, on made-up servers."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from aod.detectors.anomaly import AnomalyType
from aod.detectors.detector import Detector, Ticking
from aod.detectors.error import Error, ErrorAnomaly
from aod.detectors.inflight import Inflight, InflightAnomaly
from aod.detectors.scope import MAX_SHARES, OTHERS, Scope, within_scope
from aod.events import Events, Kind, empty, join
from tests.events import SECOND, make

ACCESS_DENIED = 0xC0000022
MEDIA, BACKUP, SCRATCH, NEW = 1, 2, 3, 9
"""Trees of session 5 on connection 1 to nas; NEW is not known yet, nor is connection 8."""


class Names:
    """nas has three shares; each tree of session 6 is a share of its own."""

    def server(self, connection_id: int, session_id: int) -> str:
        return "nas" if connection_id == 1 else ""

    def share(self, session_id: int, tree_id: int, connection_id: int) -> str:
        known = {MEDIA: "Media", BACKUP: "backup", SCRATCH: "scratch"}
        return known.get(tree_id, "") if session_id == 5 else f"share{tree_id}"


def refused(*times_ns: int, **fields: Any) -> Events:
    plain = {"connection_id": 1, "session_id": 5, "status": ACCESS_DENIED, "comm": b"cp"}
    return make(*times_ns, **{**plain, **fields})


def kept(events: Events, shares: Sequence[str] = (), processes: Sequence[str] = ()) -> list[int]:
    selected = Scope(shares, processes, Names()).select(events)
    return list(selected["time_ns"].tolist())


SOME = refused(1, 2, 3, tree_id=[MEDIA, BACKUP, SCRATCH])


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([], [1, 2, 3]),
        ([r"\\nas\backup"], [2]),
        (["//nas/backup"], [2]),
        (["//NAS/media"], [1]),
        (["//nas/*"], [1, 2, 3]),
        (["*"], [1, 2, 3]),
        (["//other/*"], []),
        (["//n?s/[mb]*"], [1, 2]),
        (["!//nas/scratch"], [1, 2]),
        (["//nas/*", "!//nas/scratch"], [1, 2]),
        (["!//nas/scratch", "//nas/scratch"], []),
        (["!*"], []),
    ],
)
def test_a_share_counts_when_it_is_included_and_not_excluded(
    shares: list[str], expected: list[int]
) -> None:
    assert kept(SOME, shares) == expected


@pytest.mark.parametrize(
    ("shares", "counts"),
    [
        (["//nas/backup"], True),
        (["//n*/backup"], True),
        (["//*backup"], True),
        (["!//nas/backup"], True),
        (["//other/backup"], False),
        (["!//nas/*"], False),
        (["!//nas*"], False),
    ],
)
@pytest.mark.parametrize("tree_id", [0, NEW])
def test_what_has_no_known_share_counts_for_all_shares_of_its_server(
    shares: list[str], counts: bool, tree_id: int
) -> None:
    assert (kept(refused(1, tree_id=tree_id), shares) == [1]) is counts


def test_what_is_not_known_to_be_elsewhere_counts() -> None:
    assert kept(refused(1, connection_id=8, tree_id=NEW), ["//nas/backup"]) == [1]
    assert kept(make(1, kind=Kind.UNSENT), ["//nas/backup"], ["cp"]) == [1]


@pytest.mark.parametrize(
    ("processes", "expected"),
    [(["cp"], [1]), (["rsync*"], [2, 3]), (["!rsync"], [1, 3]), (["CP"], []), ([], [1, 2, 3])],
)
def test_a_process_counts_by_its_name(processes: list[str], expected: list[int]) -> None:
    events = refused(1, 2, 3, comm=[b"cp", b"rsync", b"rsyncd"])

    assert kept(events, processes=processes) == expected


def test_what_cifs_does_by_itself_counts_whatever_the_processes() -> None:
    lost = refused(1, kind=Kind.RECONNECT, comm=b"cifsd")

    assert kept(lost, processes=["cp"]) == [1]
    assert kept(lost, processes=["!cp"]) == [1]


def test_share_and_process_have_both_to_fit() -> None:
    events = refused(1, 2, 3, tree_id=[MEDIA, MEDIA, BACKUP], comm=[b"cp", b"dd", b"cp"])

    assert kept(events, ["//nas/media"], ["cp"]) == [1]


def test_an_empty_batch_stays_one() -> None:
    assert kept(empty(), ["//nas/media"], ["cp"]) == []


def failing(acceptable_count: int = 1, **keys: Any) -> Detector:
    section = ErrorAnomaly(type="Error", acceptable_count=acceptable_count, actions=(), **keys)
    return within_scope(partial(Error.from_config, "error", section, SECOND), section, Names())


def test_without_a_scope_the_detector_is_used_as_it_is() -> None:
    assert type(failing()) is Error


def test_a_detector_counts_only_what_is_in_its_scope() -> None:
    detector = failing(shares=("//nas/media",))

    assert detector.feed(SOME) is None
    assert detector.feed(refused(4, tree_id=MEDIA)) is not None
    assert detector.filter.statuses == failing().filter.statuses


def test_per_share_each_share_has_a_count_of_its_own() -> None:
    detector = failing(per="share")

    first = detector.feed(SOME)
    second = detector.feed(refused(4, tree_id=BACKUP))

    assert first is None
    assert second is not None
    assert (second.shares, second.count) == (("//nas/backup",), 2)
    assert second.events["time_ns"].tolist() == [2, 4]


def test_shares_that_raise_in_one_batch_are_told_together_in_time_order() -> None:
    trees = [BACKUP, MEDIA, MEDIA, BACKUP]

    anomaly = failing(per="share").feed(refused(1, 2, 3, 4, tree_id=trees))

    assert anomaly is not None
    assert anomaly.shares == ("//nas/Media", "//nas/backup")
    assert (anomaly.count, anomaly.raised_ns) == (4, 3)
    assert anomaly.events["time_ns"].tolist() == [1, 2, 3, 4]


def test_shares_beyond_the_limit_are_counted_together() -> None:
    detector = failing(per="share")
    many = refused(*range(MAX_SHARES + 2), session_id=6, tree_id=range(1, MAX_SHARES + 3))

    anomaly = detector.feed(many)

    assert anomaly is not None
    assert (anomaly.shares, anomaly.count) == ((OTHERS,), 2)


def test_what_belongs_to_no_server_is_counted_with_the_others() -> None:
    anomaly = failing(per="share").feed(refused(1, 2, connection_id=8, tree_id=NEW))

    assert anomaly is not None
    assert anomaly.shares == (OTHERS,)


def hanging(**keys: Any) -> Ticking:
    section = InflightAnomaly(type="Inflight", actions=(), **keys)
    make_one = partial(Inflight.from_config, "inflight", section, SECOND)
    detector = within_scope(make_one, section, Names())
    assert isinstance(detector, Ticking)
    return detector


def open_request(tree_id: int, age_s: int) -> Events:
    now_ns = (100 + age_s) * SECOND
    fields = {"tree_id": tree_id, "message_id": tree_id, "latency_ns": age_s * SECOND}
    return refused(now_ns, kind=Kind.UNANSWERED, **fields)


@pytest.mark.parametrize("per", ["host", "share"])
def test_open_requests_are_held_to_the_scope_as_well(per: str) -> None:
    detector = hanging(shares=("//nas/media",), per=per)

    anomaly = detector.tick(join(open_request(MEDIA, 6), open_request(BACKUP, 7)))

    assert anomaly is not None
    assert anomaly.anomaly is AnomalyType.INFLIGHT
    assert anomaly.events["tree_id"].tolist() == [MEDIA]


def test_a_share_without_open_requests_forgets_those_it_had() -> None:
    detector = hanging(per="share")
    detector.tick(open_request(MEDIA, 6))

    detector.tick(open_request(BACKUP, 1))

    assert detector.tick(open_request(MEDIA, 7)) is not None
