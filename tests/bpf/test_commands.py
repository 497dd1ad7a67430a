"""The lowest rung: requests as the tracepoints of cifs tell of them."""

import errno
import os

from aod.events import Count, Flag, Kind
from aod.smb import Command
from aod.tracer.ledger import ledger_of
from tests.bpf.fake import Fake

ACCESS_DENIED = 0xC0000022
NOT_FOUND = 0xC0000034


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


def test_an_operation_whose_command_failed_is_told_once(fake: Fake) -> None:
    enter(fake, 1)
    leave(fake, 1, ACCESS_DENIED)

    fake.tell("failure", xid=1, error=-errno.EACCES)

    assert fake.events()["kind"].tolist() == [Kind.COMPLETED]
