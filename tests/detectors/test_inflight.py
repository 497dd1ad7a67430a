from typing import Any

import pytest

from aod.detectors.anomaly import Anomaly, AnomalyType
from aod.detectors.inflight import Inflight, InflightAnomaly
from aod.events import Events, Flag, Kind, join
from aod.smb import Command
from tests.events import MS, SECOND, make

SENT_NS = 1000 * SECOND


def hung(age_s: float, message_id: int = 1, sent_ns: int = SENT_NS, **fields: Any) -> Events:
    """Return an open request as a scan at its age finds it."""
    age_ns = int(age_s * SECOND)
    request = {"command": Command.SMB2_READ, "connection_id": 1, "message_id": message_id}
    plain: dict[str, Any] = {**request, "kind": Kind.UNANSWERED, "latency_ns": age_ns, **fields}
    return make(sent_ns + age_ns, **plain)


def raised_at(detector: Inflight, *ages_s: float) -> list[float]:
    return [age_s for age_s in ages_s if detector.tick(hung(age_s))]


@pytest.fixture
def detector() -> Inflight:
    return Inflight("inflight", 5 * SECOND)


@pytest.mark.parametrize(("age_s", "raises"), [(4.999, False), (5, True), (5.001, True)])
def test_a_request_that_is_open_for_the_threshold_hangs(
    detector: Inflight, age_s: float, raises: bool
) -> None:
    assert (detector.tick(hung(age_s)) is not None) is raises


def test_it_is_told_with_its_age_and_never_as_an_emergency(detector: Inflight) -> None:
    anomaly = detector.tick(hung(6, comm=b"cat"))

    assert anomaly is not None
    assert (anomaly.anomaly, anomaly.name, anomaly.count) == (AnomalyType.INFLIGHT, "inflight", 1)
    assert not anomaly.emergency
    assert anomaly.raised_ns == SENT_NS + 6 * SECOND
    assert anomaly.events["comm"].tolist() == [b"cat"]


def test_it_is_told_again_at_each_doubling_of_its_age(detector: Inflight) -> None:
    told = raised_at(detector, *range(1, 100))

    assert told == [5, 10, 20, 40, 80]


def test_a_doubling_between_two_scans_is_told_once_at_the_next(detector: Inflight) -> None:
    assert raised_at(detector, 6, 23, 24, 39, 41) == [6, 23, 41]


def test_each_request_has_doublings_of_its_own(detector: Inflight) -> None:
    first = detector.tick(join(hung(8), hung(3, 2)))
    second = detector.tick(join(hung(9.9), hung(5, 2)))

    assert [anomaly.events["message_id"].tolist() for anomaly in (first, second) if anomaly] == [
        [1],
        [2],
    ]


def test_the_queue_counts_to_the_age_and_not_to_the_time_sent(detector: Inflight) -> None:
    assert detector.tick(hung(6, queue_ns=4 * SECOND)) is not None
    assert detector.tick(hung(7, queue_ns=4 * SECOND)) is None


def test_the_oldest_stands_first_and_a_compound_in_its_order(detector: Inflight) -> None:
    anomaly = detector.tick(join(hung(6, 9), hung(6, 8), hung(7, 12, SENT_NS - SECOND)))

    assert anomaly is not None
    assert anomaly.events["message_id"].tolist() == [12, 8, 9]


def test_what_has_ended_is_forgotten(detector: Inflight) -> None:
    detector.tick(hung(6))
    detector.tick(make())

    assert detector.tick(hung(7)) is not None


def test_a_message_id_that_is_used_again_is_another_request(detector: Inflight) -> None:
    detector.tick(hung(6))

    assert detector.tick(hung(6, sent_ns=SENT_NS + 7 * SECOND)) is not None


@pytest.mark.parametrize(
    ("command", "flags", "raises"),
    [
        (Command.SMB2_CHANGE_NOTIFY, Flag.PENDED, False),
        (Command.SMB2_CHANGE_NOTIFY, Flag(0), False),
        (Command.SMB2_LOCK, Flag.PENDED, False),
        (Command.SMB2_LOCK, Flag(0), True),
        (Command.SMB2_CREATE, Flag.PENDED, True),
        (Command.SMB2_ECHO, Flag.ASYNC, True),
        (Command.SMB2_READ, Flag.SELF, False),
    ],
)
def test_what_waits_by_nature_or_is_our_own_does_not_count(
    detector: Inflight, command: Command, flags: Flag, raises: bool
) -> None:
    anomaly = detector.tick(hung(3600, command=command, flags=flags))

    assert (anomaly is not None) is raises


def test_what_has_ended_raises_nothing(detector: Inflight) -> None:
    assert detector.feed(make(1, latency_ns=3600 * SECOND)) is None


def test_a_map_full_of_hanging_requests_is_counted_and_kept_in_part(detector: Inflight) -> None:
    full = make(*[SENT_NS + 6 * SECOND] * 40960, latency_ns=6 * SECOND, message_id=range(40960))

    anomaly = detector.tick(full)

    assert anomaly is not None
    assert (anomaly.count, anomaly.events.size) == (40960, 2000)
    assert detector.tick(full) is None


def test_the_threshold_comes_from_the_config() -> None:
    section = InflightAnomaly(type="Inflight", threshold_ms=1500.0, actions=())

    detector = Inflight.from_config("hangs", section, SECOND)

    assert (detector.name, detector.tick(hung(1.499))) == ("hangs", None)
    assert detector.tick(hung(1.5)) is not None


def merged(*anomalies: Anomaly | None) -> Anomaly:
    first, *others = [anomaly for anomaly in anomalies if anomaly]
    for later in others:
        first = first.merged(later)
    return first


def test_told_again_it_is_still_one_request_and_older(detector: Inflight) -> None:
    found = merged(detector.tick(hung(6)), detector.tick(join(hung(11), hung(7, 2))))

    assert found.count == 2
    assert found.events["message_id"].tolist() == [1, 2]
    assert (found.events["latency_ns"] // MS).tolist() == [11_000, 7_000]
    assert found.raised_ns == SENT_NS + 6 * SECOND


@pytest.mark.parametrize("kind", Kind)
def test_what_passes_in_the_ring_raises_nothing(detector: Inflight, kind: Kind) -> None:
    assert detector.feed(make(1, kind=kind, latency_ns=3600 * SECOND, error=-5)) is None


def waiting(age_s: float, tid: int = 7) -> Events:
    """Return a thread that waits to send, as a scan finds it: all of its age is in the queue."""
    age_ns = int(age_s * SECOND)
    return hung(age_s, 0, connection_id=0, command=0, tid=tid, queue_ns=age_ns)


def test_a_thread_that_waits_to_send_is_told_at_each_doubling_as_well(detector: Inflight) -> None:
    told = [age_s for age_s in range(1, 30) if detector.tick(waiting(age_s))]

    assert told == [5, 10, 20]


def test_threads_that_wait_to_send_are_told_apart(detector: Inflight) -> None:
    found = merged(
        detector.tick(join(waiting(6), waiting(6, tid=8))),
        detector.tick(join(waiting(11), waiting(11, tid=8))),
    )

    assert found.count == 2
    assert found.events["tid"].tolist() == [7, 8]
