"""The traps of cifs, as far as they can be set without it."""

import errno
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from aod.events import COMMANDS, SLOTS, Count, Flag, Kind
from aod.smb import PENDING, Command
from aod.smb.filter import ALL_COMMANDS, NEVER, Filter, StatusVerdict, status_verdict
from aod.tracer.inflight import unanswered
from aod.tracer.ledger import ledger_of
from tests.bpf.fake import ASYNC, RELATED, Fake, Request

ACCESS_DENIED = 0xC0000022
NOT_FOUND = 0xC0000034
MS = 1_000_000
PF_KTHREAD = 0x00200000

either_prototype = pytest.mark.parametrize(
    "kernel_types", ["(mid)", "(server, mid)"], indirect=True
)


@pytest.fixture(autouse=True)
def _ledger_closes(fake: Fake) -> Iterator[None]:
    """Every request and every response is accounted for, whatever the test did."""
    yield
    ledger = ledger_of(fake.tracer.counts(), 0, len(fake.open_message_ids()))
    assert (ledger.request_imbalance, ledger.pdu_imbalance) == (0, 0)


def test_a_request_is_told_with_who_sent_it(fake: Fake) -> None:
    fake.send(Request(9, Command.SMB2_READ, file_id=0xABCD))
    fake.receive(9, status=ACCESS_DENIED, credits_granted=4)

    (event,) = fake.events()

    assert (event["kind"], event["command"]) == (Kind.COMPLETED, Command.SMB2_READ)
    assert (event["status"], event["error"]) == (ACCESS_DENIED, -errno.EACCES)
    assert (event["pid"], event["tid"]) == (os.getpid(), threading.get_native_id())
    assert (event["session_id"], event["tree_id"], event["file_id"]) == (77, 5, 0xABCD)
    assert (event["connection_id"], event["message_id"]) == (1, 9)
    assert (event["credits_granted"], event["response_bytes"], event["in_flight"]) == (4, 76, 3)
    assert event["comm"] == b"python"[:15] or event["comm"].startswith(b"py")
    assert fake.open_message_ids() == []


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A control group of its own."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    folders = [Path(fields[1]) for fields in mounts if fields[2] == "cgroup2"]
    if not folders or not os.access(folders[0], os.W_OK):
        pytest.skip("control groups cannot be made here")
    folder = folders[0] / f"aod-test-{os.getpid()}"
    folder.mkdir()
    yield folder
    folder.rmdir()


def test_who_sent_a_request_is_told_though_it_has_ended_and_another_receives(
    fake: Fake, cgroup: Path
) -> None:
    pid = os.fork()
    if not pid:
        (cgroup / "cgroup.procs").write_text("0")
        Path("/proc/self/comm").write_text("sender")
        os.setresuid(1000, -1, -1)
        fake.send(Request(1, Command.SMB2_WRITE))
        os._exit(0)
    os.waitpid(pid, 0)

    assert fake.open_message_ids() == [1]
    fake.receive(1)

    (event,) = fake.events()
    assert (event["pid"], event["tid"], event["uid"], event["comm"]) == (pid, pid, 1000, b"sender")
    assert event["cgroup_id"] == cgroup.stat().st_ino


@pytest.mark.parametrize(
    ("command", "task_flags", "flags"),
    [
        (Command.SMB2_WRITE, PF_KTHREAD, Flag.WRITEBACK),
        (Command.SMB2_WRITE, ~PF_KTHREAD, 0),
        (Command.SMB2_READ, PF_KTHREAD, 0),
    ],
)
def test_what_a_kernel_thread_writes_is_writeback(
    fake: Fake, command: Command, task_flags: int, flags: int
) -> None:
    fake.send(Request(1, command), task_flags=task_flags & 0xFFFFFFFF)
    fake.receive(1)

    assert fake.events()["flags"].tolist() == [flags]


def test_a_login_and_a_tree_connect_are_found_without_their_ids(fake: Fake) -> None:
    fake.send(Request(1, Command.SMB2_SESSION_SETUP, tree_id=0, session_id=0))
    fake.receive(1, tree_id=0, session_id=77)
    fake.send(Request(2, Command.SMB2_TREE_CONNECT, tree_id=0))
    fake.receive(2, tree_id=5)

    assert fake.events()["message_id"].tolist() == [1, 2]
    assert fake.open_message_ids() == []


def test_an_interim_response_keeps_the_request_open(fake: Fake) -> None:
    fake.send(Request(3, Command.SMB2_LOCK))
    fake.receive(3, status=PENDING)

    assert fake.open_message_ids() == [3]
    fake.receive(3)

    (event,) = fake.events()
    assert event["flags"] == Flag.PENDED
    assert 0 < event["pended_ns"] < event["latency_ns"]


def test_a_pended_response_is_found_though_its_tree_id_is_an_async_id(fake: Fake) -> None:
    fake.send(Request(4, Command.SMB2_CHANGE_NOTIFY))
    fake.receive(4, status=PENDING, flags=ASYNC)
    fake.receive(4, flags=ASYNC)

    assert fake.events().size == 1
    assert fake.tracer.counts()[Count.UNMATCHED] == 0


@pytest.mark.parametrize("kernel_types", ["no conn_id", "no types"], indirect=True)
def test_without_conn_id_message_ids_of_two_connections_do_not_collide(fake: Fake) -> None:
    fake.send(Request(7, Command.SMB2_READ), connection_id=1)
    fake.send(Request(7, Command.SMB2_WRITE), connection_id=2)
    fake.receive(7, connection_id=2)

    assert fake.events()["command"].tolist() == [Command.SMB2_WRITE]
    assert fake.open_message_ids() == [7]


def test_message_ids_of_two_connections_do_not_collide(fake: Fake) -> None:
    fake.send(Request(7, Command.SMB2_READ), connection_id=1)
    fake.send(Request(7, Command.SMB2_WRITE), connection_id=2)
    fake.receive(7, connection_id=2)

    (event,) = fake.events()

    assert (event["connection_id"], event["command"]) == (2, Command.SMB2_WRITE)
    assert fake.open_message_ids() == [7]


def test_an_entry_that_a_reconnect_overwrites_is_aborted(fake: Fake) -> None:
    fake.send(Request(0, Command.SMB2_WRITE))
    fake.send(Request(0, Command.SMB2_NEGOTIATE))

    (aborted,) = fake.events()

    assert (aborted["kind"], aborted["command"]) == (Kind.ABORTED, Command.SMB2_WRITE)
    assert aborted["error"] == -errno.EAGAIN
    fake.receive(0)
    assert fake.events()["command"].tolist() == [Command.SMB2_NEGOTIATE]


def test_a_failed_compound_leaves_no_request_behind(fake: Fake) -> None:
    for first in range(0, 600, 3):
        fake.send(
            Request(first, Command.SMB2_CREATE),
            Request(first + 1, Command.SMB2_QUERY_INFO, RELATED),
            Request(first + 2, Command.SMB2_CLOSE, RELATED),
        )
        for message_id in range(first, first + 3):
            fake.receive(message_id, status=NOT_FOUND)

    assert fake.open_message_ids() == []
    assert fake.events().size == 600


def test_the_followers_of_a_failure_are_secondary(fake: Fake) -> None:
    fake.send(
        Request(1, Command.SMB2_CREATE),
        Request(2, Command.SMB2_QUERY_INFO, RELATED),
        Request(3, Command.SMB2_CLOSE, RELATED),
    )
    for message_id in (1, 2, 3):
        fake.receive(message_id, status=NOT_FOUND)

    flags = fake.events()["flags"].tolist()

    assert flags == [0, *[Flag.RELATED | Flag.SECONDARY] * 2]


def test_a_failure_in_the_middle_of_a_compound_is_not_secondary(fake: Fake) -> None:
    fake.send(
        Request(1, Command.SMB2_CREATE),
        Request(2, Command.SMB2_SET_INFO, RELATED),
        Request(3, Command.SMB2_CLOSE, RELATED),
    )
    for message_id, status in ((1, 0), (2, ACCESS_DENIED), (3, 0)):
        fake.receive(message_id, status=status)

    assert fake.events()["flags"].tolist() == [0, Flag.RELATED, Flag.RELATED]


@pytest.mark.parametrize("kernel_types", ["(mid)", "no types"], indirect=True)
def test_each_part_of_a_compound_knows_its_place(fake: Fake) -> None:
    fake.send(Request(1), Request(2, flags=RELATED), Request(3, flags=RELATED))
    for message_id in (1, 2, 3):
        fake.receive(message_id)

    places = fake.events()[["message_id", "compound_index"]].tolist()
    assert places == [(1, 0), (2, 1), (3, 2)]


@pytest.mark.parametrize(("command", "file_id"), [(8, 42), (5, 0), (6, 42), (16, 42), (13, 0)])
def test_a_file_id_is_read_where_the_command_has_one(
    fake: Fake, command: int, file_id: int
) -> None:
    fake.send(Request(1, Command(command), file_id=42))
    fake.receive(1)

    assert fake.events()["file_id"].tolist() == [file_id]


def test_a_break_from_the_server_is_no_response(fake: Fake) -> None:
    fake.receive(2**64 - 1)

    assert fake.events().size == 0
    assert fake.tracer.counts()[Count.BREAKS] == 1


def test_the_response_to_a_request_that_was_not_seen_is_unmatched(fake: Fake) -> None:
    fake.send(Request(98))
    fake.receive(98)
    fake.receive(99)

    assert fake.tracer.counts()[Count.UNMATCHED] == 1


def test_an_encrypted_request_is_marked(fake: Fake) -> None:
    fake.send(Request(1), flags=0x800)
    fake.receive(1)

    assert fake.events()["flags"].tolist() == [Flag.ENCRYPTED]


def test_latency_begins_when_the_caller_entered_cifs(fake: Fake) -> None:
    fake.enter("sync")
    fake.send(Request(1), Request(2, flags=RELATED))
    fake.receive(1)
    fake.receive(2)

    events = fake.events()

    assert (events["queue_ns"] > 0).all()
    assert (events["latency_ns"] > events["queue_ns"]).all()


def test_the_wait_for_credits_counts_for_an_async_write(fake: Fake) -> None:
    fake.enter("wait_credits")
    between_ns = 5 * MS
    _spin(between_ns)
    fake.enter("async")
    fake.send(Request(1, Command.SMB2_WRITE))
    fake.receive(1)

    assert fake.events()["queue_ns"][0] > between_ns


def test_a_wait_for_credits_that_came_to_nothing_does_not_count_for_an_echo(fake: Fake) -> None:
    fake.enter("wait_credits")
    waited_ns = 5 * MS
    _spin(waited_ns)
    fake.enter("async")
    fake.send(Request(1, Command.SMB2_ECHO))
    fake.receive(1)

    assert fake.events()["queue_ns"][0] < waited_ns


def test_a_wait_for_credits_of_before_does_not_count_for_the_next_write(fake: Fake) -> None:
    fake.enter("wait_credits")
    waited_ns = 5 * MS
    _spin(waited_ns)
    fake.enter("async")
    fake.send(Request(1, Command.SMB2_WRITE))
    fake.enter("async")
    fake.send(Request(2, Command.SMB2_WRITE))
    fake.receive(2)

    assert fake.events()["queue_ns"][0] < waited_ns


def test_a_request_without_an_entry_of_its_own_has_no_queue_time(fake: Fake) -> None:
    fake.enter("sync")
    fake.send(Request(1))
    fake.send(Request(2))
    fake.receive(2)

    assert fake.events()["queue_ns"].tolist() == [0]


def test_requests_of_our_own_are_marked(fake: Fake) -> None:
    with fake.tracer.own.own(os.getpid()):
        fake.send(Request(1))
        fake.receive(1)
    fake.send(Request(2))
    fake.receive(2)

    assert fake.events()["flags"].tolist() == [Flag.SELF, 0]


def test_an_open_request_of_our_own_is_known_after_its_sender_has_ended(fake: Fake) -> None:
    with fake.tracer.own.own(os.getpid()):
        fake.send(Request(1))
    fake.send(Request(2))

    keys, requests = fake.tracer.open_requests()
    events = unanswered(keys, requests, fake.tracer.own.until_ns, time.monotonic_ns())

    flags = dict(zip(events["message_id"].tolist(), events["flags"].tolist(), strict=True))
    assert flags == {1: Flag.SELF, 2: 0}


@either_prototype
def test_an_async_read_ends_with_its_payload(fake: Fake) -> None:
    fake.enter("async")
    fake.send(Request(1, Command.SMB2_READ))
    fake.receive(1)
    between_ns = 5 * MS
    _spin(between_ns)

    assert fake.events().size == 0
    fake.end(1)

    (event,) = fake.events()
    assert (event["kind"], event["flags"]) == (Kind.COMPLETED, Flag.ASYNC)
    assert event["payload_ns"] > between_ns
    assert event["latency_ns"] > event["payload_ns"] + event["queue_ns"]


def test_a_sync_read_ends_with_its_response(fake: Fake) -> None:
    fake.enter("sync")
    fake.send(Request(1, Command.SMB2_READ))
    fake.receive(1)

    (event,) = fake.events()
    assert event["payload_ns"] == 0


@pytest.mark.parametrize("entered", [True, False])
def test_without_its_callback_or_its_entry_a_read_ends_with_its_response(
    fake: Fake, entered: bool
) -> None:
    fake.tracer.expect_payloads(not entered)
    if entered:
        fake.enter("async")
    fake.send(Request(1, Command.SMB2_READ))
    fake.receive(1)

    assert fake.events()["payload_ns"].tolist() == [0]
    assert fake.open_message_ids() == []


@pytest.mark.parametrize("status", [0xC000035C, 0xC0000203])
def test_the_status_of_an_expired_session_is_that_of_the_read_that_met_it(
    fake: Fake, status: int
) -> None:
    fake.enter("async")
    fake.send(Request(1, Command.SMB2_READ))
    fake.receive(1, status=status)
    fake.end(1, mid_state=8)

    assert fake.events()[["kind", "status"]].tolist() == [(Kind.COMPLETED, status)]


@either_prototype
@pytest.mark.parametrize(
    ("mid_state", "error"),
    [(8, errno.EAGAIN), (0x10, errno.EIO), (0x20, errno.EHOSTDOWN), (0x80, errno.EIO)],
)
def test_a_request_that_cifs_gives_up_is_aborted(fake: Fake, mid_state: int, error: int) -> None:
    fake.send(Request(1, Command.SMB2_WRITE))
    fake.end(1, mid_state)

    (event,) = fake.events()

    assert (event["kind"], event["error"]) == (Kind.ABORTED, -error)
    assert fake.open_message_ids() == []


@either_prototype
def test_a_read_whose_payload_never_came_is_aborted(fake: Fake) -> None:
    fake.enter("async")
    fake.send(Request(1, Command.SMB2_READ))
    fake.receive(1)
    fake.end(1, mid_state=8)

    assert fake.events()["kind"].tolist() == [Kind.ABORTED]


@pytest.mark.parametrize("mid_state", [4, 0x40])
def test_the_callback_of_an_answered_request_says_nothing_new(fake: Fake, mid_state: int) -> None:
    fake.send(Request(1))
    fake.receive(1)
    fake.end(1, mid_state)

    assert fake.events().size == 1
    assert fake.tracer.counts()[Count.ABORTED] == 0


def test_every_completed_request_is_counted_by_its_latency(fake: Fake) -> None:
    for message_id, status in enumerate([0, 0, ACCESS_DENIED]):
        fake.send(Request(message_id, Command.SMB2_CREATE))
        _spin(3 * MS)
        fake.receive(message_id, status=status)

    keys, counters = fake.tracer.counters()

    assert keys[["connection_id", "tree_id", "command"]].tolist() == [(1, 5, 5)]
    assert counters[["errors", "bytes"]].tolist() == [(1, 0)]
    latencies_ns = fake.events()["latency_ns"]
    assert counters["total_ns"].tolist() == [latencies_ns.sum()]
    latencies_us = latencies_ns // 1000
    expected = np.bincount([int(us).bit_length() - 1 for us in latencies_us], minlength=28)
    assert counters["latency"][0].tolist() == expected.tolist()


def test_a_counter_that_was_dropped_begins_anew(fake: Fake) -> None:
    for message_id, command in enumerate([Command.SMB2_READ, Command.SMB2_WRITE]):
        fake.send(Request(message_id, command))
        fake.receive(message_id)

    fake.tracer.drop_counters([(1, 5, Command.SMB2_WRITE), (7, 7, 7)])

    assert fake.tracer.counters()[0]["command"].tolist() == [Command.SMB2_READ]
    fake.send(Request(2, Command.SMB2_WRITE))
    fake.receive(2)
    keys, counters = fake.tracer.counters()
    by_command = dict(zip(keys["command"].tolist(), counters["latency"].sum(axis=1), strict=True))
    assert by_command == {Command.SMB2_READ: 1, Command.SMB2_WRITE: 1}


def test_the_payload_of_reads_and_writes_is_counted(fake: Fake) -> None:
    fake.send(Request(1, Command.SMB2_WRITE, payload_bytes=4096))
    fake.receive(1)

    _, counters = fake.tracer.counters()
    (event,) = fake.events()

    assert counters["bytes"].tolist() == [4096]
    assert event["request_bytes"] == 64 + 4096


def test_requests_of_our_own_are_not_counted(fake: Fake) -> None:
    with fake.tracer.own.own(os.getpid()):
        fake.send(Request(1))
        fake.receive(1)

    assert fake.tracer.counters()[0].size == 0


def test_what_the_counters_have_no_room_for_is_told(fake: Fake) -> None:
    for connection_id in range(4097):
        fake.send(Request(1), connection_id=connection_id)
        fake.receive(1, connection_id=connection_id)

    assert fake.tracer.counts()[Count.UNCOUNTED] == 1


def test_only_what_is_slow_or_failed_enters_the_ring(fake: Fake) -> None:
    thresholds_ns = np.full((2, COMMANDS), NEVER, np.uint64)
    thresholds_ns[0, Command.SMB2_READ] = 0
    statuses = status_verdict(False, {ACCESS_DENIED: ALL_COMMANDS})
    fake.tracer.set_filter(Filter(thresholds_ns, statuses))

    for message_id, (command, status) in enumerate(
        [(8, 0), (9, 0), (9, ACCESS_DENIED), (9, NOT_FOUND), (8, NOT_FOUND)]
    ):
        fake.send(Request(message_id, Command(command)))
        fake.receive(message_id, status=status)

    assert fake.events()["message_id"].tolist() == [0, 2, 4]


def test_a_request_that_pended_has_a_threshold_of_its_own(fake: Fake) -> None:
    thresholds_ns = np.zeros((2, COMMANDS), np.uint64)
    thresholds_ns[1, Command.SMB2_LOCK] = NEVER
    fake.tracer.set_filter(Filter(thresholds_ns))

    for message_id, command in enumerate([Command.SMB2_LOCK, Command.SMB2_CREATE]):
        fake.send(Request(message_id, command))
        fake.receive(message_id, status=PENDING)
        fake.receive(message_id)
    fake.send(Request(2, Command.SMB2_LOCK))
    fake.receive(2)

    assert fake.events()["message_id"].tolist() == [1, 2]


def test_the_kernel_and_the_detector_judge_a_status_alike(fake: Fake) -> None:
    quiet = status_verdict(True, {NOT_FOUND: ALL_COMMANDS - {Command.SMB2_CREATE, 5 + 64}})
    never = np.full((2, COMMANDS), NEVER, np.uint64)
    fake.tracer.set_filter(Filter(never, quiet))
    cases = [(5, NOT_FOUND), (11, NOT_FOUND), (5, ACCESS_DENIED), (5, 0), (5, 0x10B)]
    cases += [(command, NOT_FOUND) for command in (5 + 32, 5 + 64, COMMANDS - 1)]

    for message_id, (command, status) in enumerate(cases):
        fake.send(Request(message_id, command))
        fake.receive(message_id, status=status)

    commands, statuses = (np.array(column, np.uint32) for column in zip(*cases, strict=True))
    expected = np.flatnonzero(quiet.counts(statuses, commands.astype(np.uint16)))
    assert fake.events()["message_id"].tolist() == expected.tolist()


@pytest.mark.parametrize(("secondary", "sent"), [(True, [1, 2]), (False, [1])])
def test_the_follower_of_a_failure_enters_the_ring_only_when_asked(
    fake: Fake, secondary: bool, sent: list[int]
) -> None:
    never = np.full((2, COMMANDS), NEVER, np.uint64)
    wanted = Filter(never, StatusVerdict(failures=True), secondary=secondary)
    fake.tracer.set_filter(wanted)

    fake.send(Request(1), Request(2, Command.SMB2_CLOSE, RELATED))
    for message_id in (1, 2):
        fake.receive(message_id, status=NOT_FOUND)

    assert fake.events()["message_id"].tolist() == sent


def test_a_narrower_filter_takes_the_old_exceptions_back(fake: Fake) -> None:
    never = np.full((2, COMMANDS), NEVER, np.uint64)
    fake.tracer.set_filter(Filter(never, status_verdict(False, {ACCESS_DENIED: ALL_COMMANDS})))
    fake.tracer.set_filter(Filter(never, status_verdict(False, {NOT_FOUND: ALL_COMMANDS})))

    fake.send(Request(1))
    fake.receive(1, status=ACCESS_DENIED)

    assert fake.events().size == 0


def test_a_full_map_is_counted(fake: Fake) -> None:
    for start in range(0, 40960 + SLOTS, 4):
        fake.send(*(Request(message_id) for message_id in range(start, start + 4)))

    fake.send(Request(50000))

    assert fake.tracer.counts()[Count.UNTRACKED] == 1


def _spin(duration_ns: int) -> None:
    import time

    until_ns = time.monotonic_ns() + duration_ns
    while time.monotonic_ns() < until_ns:
        pass
