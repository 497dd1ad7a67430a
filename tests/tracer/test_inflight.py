"""The age of what is not answered."""

import errno
import threading
import time
from collections.abc import Collection
from typing import Any, cast

import numpy as np
import pytest

from aod.events import REQUEST, REQUEST_KEY, WAIT, Flag, Kind, server_ns
from aod.smb import Command
from aod.smb.filter import is_patient
from aod.smb.names import Names
from aod.tracer import waiting
from aod.tracer.inflight import GIVEN_UP_NS, OpenRequests, longest_wait_ns, unanswered
from aod.tracer.ledger import Ledger
from aod.tracer.own import OwnProcesses
from aod.tracer.state import Scan
from aod.tracer.watcher import ModuleWatcher

NOW_NS = 100


def requests(*sent_ns: int, **fields: Any) -> Any:
    made = np.zeros(len(sent_ns), REQUEST)
    made["sent_ns"] = sent_ns
    made["command"] = Command.SMB2_READ
    for name, value in fields.items():
        made[name] = value
    return made


def keys(*connections: int) -> Any:
    made = np.zeros(len(connections), REQUEST_KEY)
    made["connection_id"] = connections
    return made


@pytest.mark.parametrize(
    ("connections", "expected_ns"), [((), 90), ((2,), 60), ((1, 2), 90), ((3,), 0)]
)
def test_the_oldest_request_of_the_connections_counts(
    connections: Collection[int], expected_ns: int
) -> None:
    assert longest_wait_ns(keys(1, 2), requests(10, 40), connections, NOW_NS) == expected_ns


def test_with_nothing_in_flight_nobody_waits() -> None:
    assert longest_wait_ns(keys(), requests(), (), NOW_NS) == 0


def test_a_request_sent_after_the_clock_was_read_has_no_negative_age() -> None:
    assert longest_wait_ns(keys(1), requests(NOW_NS + 5), (), NOW_NS) == 0


@pytest.mark.parametrize(
    ("command", "flags", "expected"),
    [
        (Command.SMB2_CHANGE_NOTIFY, 0, True),
        (Command.SMB2_LOCK, Flag.PENDED, True),
        (Command.SMB2_LOCK, 0, False),
        (Command.SMB2_READ, Flag.PENDED, False),
    ],
)
def test_what_waits_by_nature_is_patient(command: Command, flags: int, expected: bool) -> None:
    waiting = requests(10, command=command, flags=flags)

    assert is_patient(waiting).tolist() == [expected]
    assert longest_wait_ns(keys(1), waiting, (), NOW_NS) == (0 if expected else 90)


def test_a_request_becomes_an_event_of_its_age() -> None:
    hanging = requests(10, started_ns=4, pended_ns=15, pid=7, tid=8, comm=b"cat", flags=Flag.ASYNC)

    (event,) = unanswered(keys(3), hanging, {}, NOW_NS)

    assert (event["kind"], event["time_ns"], event["latency_ns"]) == (Kind.UNANSWERED, 100, 96)
    assert (event["queue_ns"], event["pended_ns"], event["payload_ns"]) == (6, 5, 0)
    assert (event["connection_id"], event["command"]) == (3, Command.SMB2_READ)
    assert (event["pid"], event["tid"], event["comm"]) == (7, 8, b"cat")
    assert (event["flags"], event["status"], event["error"]) == (Flag.ASYNC, 0, 0)


def test_a_read_whose_data_does_not_come_waits_for_its_payload() -> None:
    events = unanswered(keys(1), requests(10, started_ns=10, response_ns=40), {}, NOW_NS)

    assert (events["payload_ns"].item(), server_ns(events).item()) == (60, 30)


def test_the_map_may_be_empty() -> None:
    assert unanswered(keys(), requests(), {7: 9}, NOW_NS).size == 0


def test_a_request_newer_than_the_clock_has_age_zero() -> None:
    newer = NOW_NS + 5

    (event,) = unanswered(keys(1), requests(newer, started_ns=newer), {}, NOW_NS)

    assert event["latency_ns"] == 0


@pytest.mark.parametrize(
    ("until_ns", "own"), [({7: NOW_NS}, True), ({7: 10}, True), ({7: 9}, False), ({8: 10}, False)]
)
def test_what_a_process_of_aod_sent_is_flagged_also_after_its_end(
    until_ns: dict[int, int], own: bool
) -> None:
    (event,) = unanswered(keys(1), requests(10, pid=7), until_ns, NOW_NS)

    assert bool(event["flags"] & Flag.SELF) is own


class FakeTracer:
    """Two READs that were sent long ago, of which the first can be forgotten, and a thread."""

    def __init__(self) -> None:
        self.own = OwnProcesses()
        self.asked: list[tuple[int, int]] = []
        self.error = 0

    def scan(self) -> Scan:
        old = time.monotonic_ns() - GIVEN_UP_NS - 1
        open_keys = keys(1, 1)
        open_keys["message_id"] = [5, 6]
        waits = np.zeros(1, WAIT)
        waits["entered_ns"] = 1
        threads = np.array([threading.get_native_id()], np.uint32)
        sent = requests(old, old, started_ns=old, error=self.error)
        return Scan(open_keys, sent, threads, waits, Ledger(requests=2, open=2))

    def forget(self, connection_id: int, message_id: int) -> bool:
        self.asked.append((connection_id, message_id))
        return message_id == 5


class FakeNames:
    """A client that waits for no request any more."""

    def refresh(self) -> None:
        pass

    def is_given_up(self, connection_id: int, message_id: int) -> bool:
        return True


@pytest.fixture
def tracer() -> FakeTracer:
    return FakeTracer()


@pytest.fixture
def open_requests(tracer: FakeTracer) -> OpenRequests:
    return OpenRequests(cast(ModuleWatcher, tracer), cast(Names, FakeNames()))


def test_a_request_that_cifs_gave_up_is_told_once_as_an_error(
    tracer: FakeTracer, open_requests: OpenRequests
) -> None:
    flight = open_requests.read()

    assert tracer.asked == [(1, 5), (1, 6)]
    assert flight.given_up["message_id"].tolist() == [5]
    assert flight.given_up["error"].tolist() == [-errno.EIO]
    assert flight.given_up["kind"].tolist() == [Kind.UNANSWERED]


def test_a_request_that_cifs_gave_up_is_told_with_the_error_of_its_operation(
    tracer: FakeTracer, open_requests: OpenRequests
) -> None:
    tracer.error = -errno.EHOSTDOWN

    flight = open_requests.read()

    assert flight.given_up["error"].tolist() == [-errno.EHOSTDOWN]


def test_a_request_that_was_answered_meanwhile_is_not_given_up(
    open_requests: OpenRequests,
) -> None:
    flight = open_requests.read()

    assert flight.open["message_id"].tolist() == [6]
    assert flight.open["error"].tolist() == [0]


def test_the_ledger_of_the_same_scan_comes_with_it(open_requests: OpenRequests) -> None:
    flight = open_requests.read()

    assert flight.ledger == Ledger(requests=2, open=flight.open.size + flight.given_up.size)


def test_a_thread_that_waits_to_send_stands_among_what_is_open(
    open_requests: OpenRequests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "is_sending", lambda task: True)

    flight = open_requests.read()

    assert flight.open["tid"].tolist() == [0, threading.get_native_id()]
