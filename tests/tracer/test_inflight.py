"""The age of what is not answered."""

from collections.abc import Collection
from typing import Any

import numpy as np
import pytest

from aod.events import REQUEST, REQUEST_KEY, Flag
from aod.smb import Command
from aod.tracer.inflight import is_patient, longest_wait_ns

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
