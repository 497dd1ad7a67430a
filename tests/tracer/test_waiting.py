"""Threads that wait to send, in a /proc that is made up."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aod.events import WAIT, Events, Flag, Kind
from aod.tracer.waiting import MAX_LOOKS, WaitingThreads
from tests.events import MS, SECOND

NOW_NS = 100 * SECOND
STATUS = "Name:\tcp\nState:\t{state}\nTgid:\t7\nUid:\t1000\t1000\t1000\t1000\n"
CREDITS = "[<0>] wait_for_free_credits+0x1f/0x9d [cifs]\n[<0>] compound_send_recv+0x4/0x9 [cifs]\n"
MUTEX = "[<0>] __mutex_lock.constprop.0+0x1/0x9\n[<0>] cifs_call_async.isra.0+0x4/0x9 [cifs]\n"
ELSEWHERE = "[<0>] do_nanosleep+0x1/0x9\n[<0>] __x64_sys_nanosleep+0x1/0x9\n"


def put(proc: Path, tid: int, stack: str = CREDITS, state: str = "D (disk sleep)") -> None:
    folder = proc / str(tid)
    folder.mkdir(exist_ok=True)
    (folder / "status").write_text(STATUS.format(state=state))
    (folder / "stack").write_text(stack)


def entries(*tids: int, **fields: Any) -> tuple[Any, Any]:
    waits = np.zeros(len(tids), WAIT)
    for name, value in {"entered_ns": NOW_NS - 6 * SECOND, **fields}.items():
        waits[name] = value
    return np.array(tids, np.uint32), waits


def read(
    threads: WaitingThreads, found: tuple[Any, Any], own: dict[int, int] | None = None
) -> Events:
    return threads.read(*found, own or {}, NOW_NS)


@pytest.mark.parametrize("stack", [CREDITS, MUTEX])
def test_a_thread_that_waits_becomes_an_event_of_its_age(tmp_path: Path, stack: str) -> None:
    put(tmp_path, 8, stack)

    (event,) = read(WaitingThreads(tmp_path), entries(8))

    assert (event["kind"], event["time_ns"]) == (Kind.WAITING, NOW_NS)
    assert (event["latency_ns"], event["queue_ns"]) == (6 * SECOND, 6 * SECOND)
    assert (event["connection_id"], event["message_id"]) == (0, 0)
    assert (event["pid"], event["tid"], event["uid"], event["comm"]) == (7, 8, 1000, b"cp")


@pytest.mark.parametrize(
    "fields",
    [{"sent_ns": 1}, {"entered_ns": 0}, {"entered_ns": NOW_NS - 999 * MS}],
)
def test_who_has_sent_or_just_come_does_not_wait(tmp_path: Path, fields: dict[str, int]) -> None:
    put(tmp_path, 8)

    assert read(WaitingThreads(tmp_path), entries(8, **fields)).size == 0


@pytest.mark.parametrize("stack", [ELSEWHERE, "", "[<0>] wait_for_response+0x1/0x9 [cifs]\n"])
def test_who_is_elsewhere_by_its_stack_does_not_wait(tmp_path: Path, stack: str) -> None:
    put(tmp_path, 8, stack)

    assert read(WaitingThreads(tmp_path), entries(8)).size == 0


def test_a_thread_that_has_ended_does_not_wait(tmp_path: Path) -> None:
    assert read(WaitingThreads(tmp_path), entries(8)).size == 0


def test_an_entry_out_of_date_is_looked_at_once(tmp_path: Path) -> None:
    threads = WaitingThreads(tmp_path)
    put(tmp_path, 8, ELSEWHERE)
    read(threads, entries(8))
    put(tmp_path, 8, CREDITS)

    assert read(threads, entries(8)).size == 0
    assert read(threads, entries(8, entered_ns=NOW_NS - 5 * SECOND)).size == 1


@pytest.mark.parametrize(("stack", "state"), [("", "D"), (ELSEWHERE, "R (running)")])
def test_what_a_stack_does_not_tell_for_sure_is_looked_at_again(
    tmp_path: Path, stack: str, state: str
) -> None:
    threads = WaitingThreads(tmp_path)
    put(tmp_path, 8, stack, state)
    read(threads, entries(8))

    put(tmp_path, 8, CREDITS)

    assert read(threads, entries(8)).size == 1


@pytest.mark.parametrize(("until_ns", "own"), [(NOW_NS, True), (NOW_NS - 7 * SECOND, False)])
def test_a_process_of_aod_is_flagged(tmp_path: Path, until_ns: int, own: bool) -> None:
    put(tmp_path, 8)

    (event,) = read(WaitingThreads(tmp_path), entries(8), {7: until_ns})

    assert bool(event["flags"] & Flag.SELF) is own


def test_the_oldest_are_looked_at_when_there_are_too_many(tmp_path: Path) -> None:
    tids = range(1, MAX_LOOKS + 3)
    for tid in tids:
        put(tmp_path, tid)
    ages_ns = [NOW_NS - SECOND - tid for tid in tids]

    found = read(WaitingThreads(tmp_path), entries(*tids, entered_ns=ages_ns))

    assert sorted(found["tid"].tolist()) == list(range(3, MAX_LOOKS + 3))
