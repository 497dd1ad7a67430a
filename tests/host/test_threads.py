"""Threads that wait, in a /proc that is made up."""

from pathlib import Path
from typing import Any

import pytest

from aod.events import Events, Flag, Kind
from aod.host.threads import MAX_BYTES, MAX_THREADS, Thread, read_thread, waiting_for
from tests.events import make

STATUS = "Name:\tstat\nState:\tD (disk sleep)\nTgid:\t7\nUid:\t1000\t0\t0\t0\n"
STACK = "[<0>] wait_for_response+0x9f/0x110 [cifs]\n[<0>] compound_send_recv+0x4b1/0xb20 [cifs]\n"


def put(proc: Path, pid: int, tid: int, **files: str) -> None:
    folder = proc / f"{pid}/task/{tid}"
    folder.mkdir(parents=True)
    for name, text in {"status": STATUS, "stack": STACK, "wchan": "wait_for_response"}.items():
        (folder / name).write_text(files.get(name, text))


def hung(*message_ids: int, **fields: Any) -> Events:
    plain = {"kind": Kind.UNANSWERED, "pid": 7, "tid": 8, "connection_id": 1}
    return make(*message_ids, **{**plain, "message_id": message_ids, **fields})


def test_a_thread_is_told_with_state_and_stack(tmp_path: Path) -> None:
    put(tmp_path, 7, 8)

    threads = waiting_for(hung(3), tmp_path)

    stack = ("wait_for_response+0x9f/0x110 [cifs]", "compound_send_recv+0x4b1/0xb20 [cifs]")
    assert threads == {
        (1, 3, 8): Thread("D (disk sleep)", "wait_for_response", stack, 7, 1000, "stat")
    }


def test_a_compound_is_one_wait_told_with_its_first_request(tmp_path: Path) -> None:
    put(tmp_path, 7, 8)

    assert list(waiting_for(hung(3, 4, 5), tmp_path)) == [(1, 3, 8)]


def test_nobody_waits_for_an_async_request(tmp_path: Path) -> None:
    put(tmp_path, 7, 8)

    assert waiting_for(hung(3, flags=Flag.ASYNC), tmp_path) == {}


def test_a_thread_that_has_ended_is_left_out(tmp_path: Path) -> None:
    assert waiting_for(hung(3), tmp_path) == {}


@pytest.mark.parametrize("missing", ["stack", "wchan"])
def test_what_the_kernel_does_not_tell_is_empty(tmp_path: Path, missing: str) -> None:
    put(tmp_path, 7, 8)
    (tmp_path / "7/task/8" / missing).unlink()

    (thread,) = waiting_for(hung(3), tmp_path).values()

    assert not getattr(thread, missing)
    assert thread.state == "D (disk sleep)"


def test_threads_and_bytes_are_bounded(tmp_path: Path) -> None:
    for tid in range(100, 130):
        put(tmp_path, 7, tid, stack="x" * 9000)

    threads = waiting_for(hung(*range(30), tid=range(100, 130)), tmp_path)

    assert list(threads) == [(1, index, 100 + index) for index in range(MAX_THREADS)]
    assert {len("".join(thread.stack)) for thread in threads.values()} == {MAX_BYTES}


def test_threads_that_have_sent_nothing_yet_are_told_apart(tmp_path: Path) -> None:
    put(tmp_path, 7, 8)
    put(tmp_path, 7, 9)
    waiting = make(1, 1, kind=Kind.WAITING, pid=7, tid=[8, 9])

    assert list(waiting_for(waiting, tmp_path)) == [(0, 0, 8), (0, 0, 9)]


def test_the_name_of_a_kernel_thread_is_as_long_as_in_an_event(tmp_path: Path) -> None:
    put(tmp_path, 7, 8, status="Name:\tkworker/0:1+cifsiod\nState:\tD\n")

    thread = read_thread(tmp_path / "7/task/8")

    assert thread is not None
    assert (thread.comm, thread.pid, thread.uid) == ("kworker/0:1+cif", 0, 0)
