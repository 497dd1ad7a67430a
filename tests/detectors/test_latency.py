import numpy as np
import pytest

from aod.detectors.latency import Latency
from aod.events import Flag, Kind
from aod.smb import Command
from tests.events import MS, SECOND, make


def detector(
    acceptable_count: int = 0,
    tracked: frozenset[Command] = frozenset(),
    **thresholds_ms: int | None,
) -> Latency:
    thresholds_ns: dict[Command, int | None] = dict.fromkeys(Command, 200 * MS)
    for name, threshold_ms in thresholds_ms.items():
        thresholds_ns[Command[name]] = None if threshold_ms is None else threshold_ms * MS
    return Latency("latency", thresholds_ns, tracked, acceptable_count, SECOND, SECOND)


def test_an_operation_at_its_threshold_is_slow() -> None:
    anomaly = detector().feed(make(1, latency_ns=200 * MS, command=Command.SMB2_READ))

    assert anomaly is not None
    assert (anomaly.count, anomaly.emergency) == (1, False)


def test_an_operation_below_its_threshold_is_not_slow() -> None:
    assert detector().feed(make(1, latency_ns=200 * MS - 1)) is None


def test_each_command_has_its_own_threshold() -> None:
    events = make(1, 2, latency_ns=60 * MS, command=[Command.SMB2_WRITE, Command.SMB2_READ])

    anomaly = detector(SMB2_WRITE=50).feed(events)

    assert anomaly is not None
    assert list(anomaly.events["command"]) == [Command.SMB2_WRITE]


def test_an_excluded_command_never_counts() -> None:
    assert detector(SMB2_READ=None).feed(make(1, latency_ns=9 * SECOND, command=8)) is None


def test_count_at_the_limit_raises_no_anomaly() -> None:
    slow = detector(acceptable_count=3)

    assert slow.feed(make(1, 2, 3, latency_ns=300 * MS)) is None
    anomaly = slow.feed(make(4, latency_ns=300 * MS))

    assert anomaly is not None
    assert anomaly.count == 4
    assert anomaly.raised_ns == 4


def test_one_over_a_second_is_an_emergency_at_once() -> None:
    anomaly = detector(acceptable_count=10).feed(make(5, latency_ns=SECOND + 1))

    assert anomaly is not None
    assert anomaly.emergency
    assert anomaly.raised_ns == 5


def test_an_emergency_has_to_be_over_the_commands_own_threshold() -> None:
    slow = detector(acceptable_count=10, SMB2_FLUSH=5000)

    assert slow.feed(make(1, latency_ns=2 * SECOND, command=Command.SMB2_FLUSH)) is None


def test_an_emergency_counts_among_the_slow() -> None:
    slow = detector(acceptable_count=2)
    slow.feed(make(1, 2, latency_ns=300 * MS))

    anomaly = slow.feed(make(3, latency_ns=2 * SECOND))

    assert anomaly is not None
    assert list(anomaly.events["time_ns"]) == [1, 2, 3]


@pytest.mark.parametrize(
    ("command", "flags", "slow"),
    [
        (Command.SMB2_CHANGE_NOTIFY, Flag.PENDED, False),
        (Command.SMB2_CHANGE_NOTIFY, Flag(0), False),
        (Command.SMB2_LOCK, Flag.PENDED, False),
        (Command.SMB2_LOCK, Flag(0), True),
        (Command.SMB2_CREATE, Flag.PENDED, True),
        (Command.SMB2_READ, Flag.SELF, False),
    ],
)
def test_what_is_slow_by_nature_or_our_own_does_not_count(
    command: Command, flags: Flag, slow: bool
) -> None:
    anomaly = detector().feed(make(1, latency_ns=9 * SECOND, command=command, flags=flags))

    assert (anomaly is not None) is slow


def test_what_is_slow_by_nature_counts_when_tracked_by_name() -> None:
    tracked = frozenset({Command.SMB2_CHANGE_NOTIFY, Command.SMB2_LOCK})
    events = make(1, 2, latency_ns=300 * MS, command=list(tracked), flags=Flag.PENDED)

    anomaly = detector(tracked=tracked).feed(events)

    assert anomaly is not None
    assert anomaly.count == 2


def test_an_aborted_operation_can_be_slow_and_a_reconnect_cannot() -> None:
    events = make(1, 2, latency_ns=300 * MS)
    events["kind"] = [Kind.ABORTED, Kind.RECONNECT]

    anomaly = detector().feed(events)

    assert anomaly is not None
    assert list(anomaly.events["kind"]) == [Kind.ABORTED]


def test_evidence_of_a_flood_is_the_first_and_the_worst() -> None:
    events = make(*range(5000), latency_ns=np.arange(5000) + 300 * MS)

    anomaly = detector().feed(events)

    assert anomaly is not None
    assert (anomaly.count, anomaly.events.size) == (5000, 2000)
    assert list(anomaly.events["time_ns"]) == [*range(1000), *range(4000, 5000)]


LIFECYCLE = [kind for kind in Kind if kind not in (Kind.COMPLETED, Kind.ABORTED)]


@pytest.mark.parametrize("kind", LIFECYCLE)
def test_only_what_has_ended_can_be_slow(kind: Kind) -> None:
    assert detector().feed(make(1, kind=kind, latency_ns=9 * SECOND)) is None
