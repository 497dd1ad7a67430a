"""What is told of connections, sessions and credits, and of what fails without a request."""

import errno
import os
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from aod.events import ERRNOS, Cause, Count, Flag, Kind
from aod.smb import Command
from tests.bpf.fake import EVERYTHING, RELATED, Fake, Request

ACCESS_DENIED = 0xC0000022
EHOSTDOWN = errno.EHOSTDOWN


def kinds(fake: Fake) -> list[Kind]:
    return [Kind(kind) for kind in fake.events()["kind"].tolist()]


def fails(fake: Fake, message_id: int = 1) -> None:
    """Let a request of this thread fail, unseen."""
    fake.send(Request(message_id))
    fake.receive(message_id, status=ACCESS_DENIED)
    fake.events()


def test_a_reconnect_names_its_connection_and_cause(fake: Fake) -> None:
    fake.tell("reconnect", connection_id=3, message_id=70)

    (event,) = fake.events()
    assert (event["kind"], event["cause"]) == (Kind.RECONNECT, Cause.RECONNECT)
    assert (event["connection_id"], event["message_id"]) == (3, 70)


@pytest.mark.parametrize(
    ("kernel_types", "granted"), [("no conn_id", 12), ("no types", 0)], indirect=["kernel_types"]
)
def test_until_5_15_tracepoints_tell_of_no_connection(fake: Fake, granted: int) -> None:
    fake.tell("reconnect", connection_id=3, message_id=70)
    fake.tell("credit_timeout", connection_id=3, message_id=70)

    events = fake.events()
    assert events["kind"].tolist() == [Kind.RECONNECT, Kind.CREDIT_WAIT]
    assert events["message_id"].tolist() == [70, 70]
    assert events["connection_id"].tolist() == events["in_flight"].tolist() == [0, 0]
    assert events["credits_granted"].tolist() == [0, granted]


def test_credits_that_time_out_are_told_with_how_many_there_were(fake: Fake) -> None:
    fake.tell("credit_timeout", connection_id=3, message_id=70)

    (event,) = fake.events()
    assert (event["kind"], event["cause"]) == (Kind.CREDIT_WAIT, Cause.CREDITS_TIMEOUT)
    assert (event["connection_id"], event["message_id"]) == (3, 70)
    assert (event["credits_granted"], event["in_flight"]) == (12, 34)


def test_an_expired_session_names_the_request_that_told_so(fake: Fake) -> None:
    fake.tell("session_expiry", session_id=77, tree_id=5, command=8, message_id=9)

    (event,) = fake.events()
    assert event["kind"] == Kind.SESSION_EXPIRED
    assert (event["session_id"], event["tree_id"]) == (77, 5)
    assert (event["command"], event["message_id"], event["error"]) == (8, 9, 0)


def test_a_tree_connect_is_told_with_its_error(fake: Fake) -> None:
    fake.tell("tree_connect", session_id=77, tree_id=5, error=-errno.EACCES)

    (event,) = fake.events()
    assert (event["kind"], event["error"]) == (Kind.TREE_CONNECT, -errno.EACCES)


def test_an_operation_that_sent_nothing_is_told_with_who_it_was(fake: Fake) -> None:
    fake.tell("failure", xid=1, error=-EHOSTDOWN)

    (event,) = fake.events()
    assert (event["kind"], event["error"]) == (Kind.UNSENT, -EHOSTDOWN)
    assert (event["pid"], event["tid"]) == (os.getpid(), threading.get_native_id())
    assert event["connection_id"] == event["message_id"] == 0


def test_an_operation_whose_request_failed_is_told_by_the_request_alone(fake: Fake) -> None:
    fails(fake)

    fake.tell("failure", xid=1, error=-errno.EACCES)

    assert kinds(fake) == []


def test_the_operation_around_it_fails_for_the_same_request(fake: Fake) -> None:
    fails(fake)

    fake.tell("failure", xid=12, error=-errno.EACCES)
    fake.tell("failure", xid=11, error=-errno.EACCES)

    assert kinds(fake) == []


def test_the_next_operation_needs_a_failed_request_of_its_own(fake: Fake) -> None:
    fails(fake)
    fake.tell("failure", xid=11, error=-errno.EACCES)

    fake.tell("failure", xid=12, error=-EHOSTDOWN)

    assert kinds(fake) == [Kind.UNSENT]


def test_an_aborted_request_is_a_reason_too(fake: Fake) -> None:
    fake.send(Request(1))
    fake.end(1, mid_state=8)
    fake.events()

    fake.tell("failure", xid=1, error=-errno.EAGAIN)

    assert kinds(fake) == []


def test_a_request_that_could_not_be_sent_is_left_to_be_told_as_unanswered(fake: Fake) -> None:
    fake.send(Request(1), Request(2, flags=RELATED))

    fake.tell("failure", xid=12, error=-EHOSTDOWN)
    fake.tell("failure", xid=11, error=-EHOSTDOWN)

    assert kinds(fake) == []
    assert fake.tracer.open_requests()[1]["error"].tolist() == [-EHOSTDOWN] * 2


def test_a_request_that_could_not_be_sent_is_the_reason_of_one_operation(fake: Fake) -> None:
    fake.send(Request(1))
    fake.tell("failure", xid=11, error=-errno.EPIPE)

    fake.tell("failure", xid=12, error=-EHOSTDOWN)

    assert kinds(fake) == [Kind.UNSENT]
    assert fake.tracer.open_requests()[1]["error"].tolist() == [-errno.EPIPE]


def test_a_request_that_nobody_waits_for_is_no_reason(fake: Fake) -> None:
    fake.enter("async")
    fake.send(Request(1, Command.SMB2_READ))

    fake.tell("failure", xid=1, error=-EHOSTDOWN)

    assert kinds(fake) == [Kind.UNSENT]
    assert fake.tracer.open_requests()[1]["error"].tolist() == [0]


@pytest.mark.parametrize("error", [errno.EINTR, 512, 513])
def test_a_signal_says_nothing_of_the_request_that_it_left(fake: Fake, error: int) -> None:
    fake.send(Request(1))

    fake.tell("failure", xid=1, error=-error)

    assert fake.tracer.open_requests()[1]["error"].tolist() == [0]


def test_what_was_left_unanswered_is_aborted_with_the_error_of_its_operation(fake: Fake) -> None:
    fake.send(Request(1))
    fake.tell("failure", xid=1, error=-EHOSTDOWN)

    fake.send(Request(1))

    assert fake.events()[["kind", "error"]].tolist() == [(Kind.ABORTED, -EHOSTDOWN)]


@pytest.mark.parametrize("kernel_types", ["no conn_id", "no types"], indirect=True)
def test_where_no_request_is_given_up_its_operation_is_told(fake: Fake) -> None:
    fake.send(Request(1))

    fake.tell("failure", xid=1, error=-EHOSTDOWN)

    assert kinds(fake) == [Kind.UNSENT]


def test_a_local_error_that_nobody_wants_stays_in_the_kernel(fake: Fake) -> None:
    wanted = np.zeros(ERRNOS, np.bool)
    wanted[EHOSTDOWN] = True
    fake.tracer.set_filter(replace(EVERYTHING, errors=wanted))

    for error in (-errno.ENODATA, -EHOSTDOWN, -errno.EOPNOTSUPP):
        fake.tell("failure", xid=1, error=error)

    assert fake.events()["error"].tolist() == [-EHOSTDOWN]
    assert fake.tracer.counts()[Count.EVENTS] == 1


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        ("reconnect", Kind.RECONNECT),
        ("session_expiry", Kind.SESSION_EXPIRED),
        ("tree_connect", Kind.TREE_CONNECT),
    ],
)
def test_a_kind_that_nobody_wants_stays_in_the_kernel(fake: Fake, what: str, kind: Kind) -> None:
    fake.tracer.set_filter(replace(EVERYTHING, kinds=frozenset(Kind) - {kind}))

    fake.tell(what)

    assert fake.events().size == 0


def wait_for_credits(fake: Fake, lasts_ns: int = 0, error: int = 0) -> None:
    fake.tell("credit_wait", connection_id=3)
    until_ns = time.monotonic_ns() + lasts_ns
    while time.monotonic_ns() < until_ns:
        continue
    fake.tell("credits", error=error)


def test_a_long_wait_for_credits_is_told_with_its_connection(fake: Fake) -> None:
    started_ns = time.monotonic_ns()

    wait_for_credits(fake, lasts_ns=3_000_000)

    (event,) = fake.events()
    assert (event["kind"], event["cause"]) == (Kind.CREDIT_WAIT, Cause.CREDITS_AWAITED)
    assert (event["connection_id"], event["credits_granted"], event["in_flight"]) == (3, 40, 3)
    assert 3_000_000 <= event["latency_ns"] <= time.monotonic_ns() - started_ns
    assert (event["tid"], event["error"]) == (threading.get_native_id(), 0)


def test_a_short_wait_for_credits_is_everyday_life(fake: Fake) -> None:
    started_ns = time.monotonic_ns()

    wait_for_credits(fake)

    took_ns = time.monotonic_ns() - started_ns
    assert fake.events().size == 0 or took_ns >= 1_000_000


def test_a_wait_in_vain_is_told_and_is_the_operations_reason(fake: Fake) -> None:
    fake.enter("sync")
    wait_for_credits(fake, error=-errno.EAGAIN)
    (event,) = fake.events()

    fake.tell("failure", xid=1, error=-errno.EAGAIN)

    assert (event["cause"], event["error"]) == (Cause.CREDITS_AWAITED, -errno.EAGAIN)
    assert kinds(fake) == []


def test_an_async_write_that_waits_for_credits_is_told_alike(fake: Fake) -> None:
    fake.enter("wait_credits")
    fake.tell("credits", error=-errno.EAGAIN)

    (event,) = fake.events()
    assert (event["kind"], event["cause"]) == (Kind.CREDIT_WAIT, Cause.CREDITS_AWAITED)
    assert (event["connection_id"], event["error"]) == (1, -errno.EAGAIN)


def test_where_nobody_wants_waits_for_credits_those_of_async_writes_are_not_noted(
    fake: Fake,
) -> None:
    fake.tracer.set_filter(replace(EVERYTHING, kinds=frozenset(Kind) - {Kind.CREDIT_WAIT}))
    fake.enter("wait_credits")
    fake.tracer.set_filter(EVERYTHING)

    fake.tell("credits", error=-errno.EAGAIN)

    assert kinds(fake) == []


def test_what_aod_itself_does_is_flagged(fake: Fake) -> None:
    with fake.tracer.own.own(os.getpid()):
        fake.tell("failure", xid=1, error=-EHOSTDOWN)

    assert fake.events()["flags"].tolist() == [Flag.SELF]


def test_a_response_to_a_request_of_before_the_attach_is_counted_apart(fake: Fake) -> None:
    fake.receive(4)
    fake.send(Request(6))
    fake.receive(6)
    fake.receive(5)

    counts = fake.tracer.counts()
    assert (counts[Count.EARLIER], counts[Count.UNMATCHED]) == (2, 0)


def test_after_a_reconnect_no_response_is_an_earlier_one(fake: Fake) -> None:
    fake.send(Request(100))
    fake.receive(100)

    fake.tell("reconnect", connection_id=1)
    fake.receive(3)

    counts = fake.tracer.counts()
    assert (counts[Count.EARLIER], counts[Count.UNMATCHED]) == (0, 1)
