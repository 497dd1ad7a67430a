"""The lowest rung: requests as the tracepoints of cifs tell of them."""

import errno
import os

import pytest

from aod.events import Count, Flag, Kind
from aod.smb import Command
from aod.tracer.ledger import ledger_of
from tests.bpf.fake import Fake

ACCESS_DENIED = 0xC0000022
NOT_FOUND = 0xC0000034
MORE_PROCESSING = 0xC0000016


def enter(fake: Fake, *message_ids: int, command: Command = Command.SMB2_CREATE) -> None:
    for message_id in message_ids:
        fake.tell("command", session_id=77, tree_id=5, command=command, message_id=message_id)


def leave(fake: Fake, message_id: int, status: int = 0) -> None:
    fake.tell("status", session_id=77, message_id=message_id, status=status)


def test_a_command_is_told_with_who_sent_it_and_no_connection(fake: Fake) -> None:
    enter(fake, 9, command=Command.SMB2_READ)
    leave(fake, 9, ACCESS_DENIED)

    (event,) = fake.events()
    assert (event["kind"], event["command"], event["error"]) == (
        Kind.COMPLETED,
        Command.SMB2_READ,
        -errno.EACCES,
    )
    assert (event["session_id"], event["tree_id"], event["connection_id"]) == (77, 5, 0)
    assert (event["pid"], event["message_id"]) == (os.getpid(), 9)


def test_the_others_of_a_failed_compound_end_with_its_first(fake: Fake) -> None:
    enter(fake, 1, 2, 3)
    leave(fake, 1, NOT_FOUND)

    events = fake.events()
    assert events["message_id"].tolist() == [1, 2, 3]
    assert (events["status"] == NOT_FOUND).all()
    assert (events["flags"] & Flag.SECONDARY != 0).tolist() == [False, True, True]
    assert fake.open_message_ids() == []


def test_two_hundred_missing_files_leave_nothing_open(fake: Fake) -> None:
    for first in range(0, 600, 3):
        enter(fake, first, first + 1, first + 2)
        leave(fake, first, NOT_FOUND)

    ledger = ledger_of(fake.tracer.counts(), 0, len(fake.open_message_ids()))
    assert (ledger.requests, ledger.completed, ledger.open) == (600, 600, 0)
    assert ledger.is_closed


def test_a_listing_that_goes_on_ends_alone(fake: Fake) -> None:
    enter(fake, 1, 2)
    leave(fake, 1, 0x80000005)

    assert fake.events()["message_id"].tolist() == [1]


def test_an_echo_is_not_awaited_as_its_status_is_never_mapped(fake: Fake) -> None:
    enter(fake, 4, command=Command.SMB2_ECHO)

    assert fake.open_message_ids() == []
    assert fake.tracer.counts()[Count.REQUESTS] == 0


@pytest.mark.parametrize("status", [0, MORE_PROCESSING])
def test_the_first_request_of_a_login_is_found_though_its_response_has_a_session(
    fake: Fake, status: int
) -> None:
    setup = {"command": Command.SMB2_SESSION_SETUP, "message_id": 1}
    fake.tell("command", session_id=0, **setup)
    fake.tell("status", session_id=77, status=status, **setup)

    assert fake.events()[["command", "message_id"]].tolist() == [(Command.SMB2_SESSION_SETUP, 1)]
    assert fake.open_message_ids() == []
    assert fake.tracer.counts()[Count.UNMATCHED] == 0


def test_another_response_is_not_taken_for_that_of_a_login(fake: Fake) -> None:
    fake.tell("command", session_id=0, command=Command.SMB2_NEGOTIATE, message_id=9)
    leave(fake, 9)

    assert fake.events().size == 0


def test_a_command_whose_session_expired_has_no_status_and_is_aborted(fake: Fake) -> None:
    enter(fake, 9, 10)
    fake.tell("session_expiry", session_id=77, tree_id=5, command=5, message_id=9)

    events = fake.events()
    assert events[["kind", "message_id", "error"]].tolist() == [
        (Kind.ABORTED, 9, -errno.EAGAIN),
        (Kind.SESSION_EXPIRED, 9, 0),
    ]
    assert fake.open_message_ids() == [10]
    assert ledger_of(fake.tracer.counts(), 0, 1).is_closed


def test_an_operation_whose_command_failed_is_told_once(fake: Fake) -> None:
    enter(fake, 1)
    leave(fake, 1, ACCESS_DENIED)

    fake.tell("failure", xid=1, error=-errno.EACCES)

    assert fake.events()["kind"].tolist() == [Kind.COMPLETED]
