"""A program is told of each incident, with real programs."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from aod.incidents import notices
from aod.incidents import notify as module
from aod.incidents.notices import Notice
from aod.incidents.notify import Notify
from aod.processes.child import Child
from aod.processes.children import Children
from tests.children import Witness
from tests.conftest import Logged

Run = Callable[..., Notify]


def notice(number: int = 1, outcome: Any = "sealed") -> Notice:
    anomaly = notices.NotifiedAnomaly("latency", "latency", number, False, "", (), None)
    bundle = f"/var/log/aod/aod_{number:019}.tar.zst"
    return Notice(outcome, bundle, "", "host-1", "now", "$(touch /x) was slow.", (anomaly,))


Records = list[dict[str, Any]]


@pytest.fixture
def witness() -> Witness:
    return Witness()


@pytest.fixture
def records(witness: Witness) -> Records:
    """What the audit was told."""
    return witness.records


@pytest.fixture
def program(tmp_path: Path, witness: Witness) -> Run:
    """Make the notices of a Python program that is written to a file."""

    def make(code: str, *arguments: str) -> Notify:
        path = tmp_path / "program"
        path.write_text(f"#!{sys.executable} -IS\n{code}")
        path.chmod(0o755)
        return Notify([str(path), *arguments], Children(witness, witness), witness)

    return make


@asynccontextmanager
async def telling(notify: Notify, *notices: Notice) -> AsyncIterator[None]:
    """Tell of notices, and at the end wait for the one that is told then."""
    for each in notices:
        notify.send(each)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(notify.run())
        yield
        notify.close()


KEEP = """
import os, sys
text = sys.stdin.read()
with open(sys.argv[1], "a") as file:
    file.write(text)
print(sys.argv, dict(os.environ), os.getsid(0) == os.getpid())
"""


async def until(records: Records, count: int) -> None:
    async with asyncio.timeout(20):
        while len(records) < count:  # noqa: ASYNC110 - appended to, by nobody who tells
            await asyncio.sleep(0.01)


async def test_each_notice_is_a_run_with_json_on_stdin(
    program: Run, records: Records, tmp_path: Path
) -> None:
    kept = tmp_path / "kept; touch x"
    notify = program(KEEP, str(kept))

    async with telling(notify, notice(1), notice(2, "not opened")):
        await until(records, 2)

    assert [json.loads(line) for line in kept.read_text().splitlines()] == [
        json.loads(json.dumps(notice(1).as_dict())),
        json.loads(json.dumps(notice(2, "not opened").as_dict())),
    ]
    assert (notify.failed, notify.dropped) == (0, 0)


async def test_the_audit_has_the_program_and_its_end_but_not_its_arguments(
    program: Run, records: Records
) -> None:
    notify = program("import sys; sys.exit(3)", "--token", "hunter2")

    async with telling(notify, notice()):
        await until(records, 1)

    (record,) = records
    assert record.pop("duration_s") < 10
    assert record == {
        "event": "notify",
        "program": notify.command[0],
        "arguments": 2,
        "bundle": notice().bundle,
        "outcome": "sealed",
        "state": "failed",
        "exit_code": 3,
    }


async def test_it_has_a_bare_environment_and_a_session_of_its_own(
    program: Run, records: Records, logged: Logged
) -> None:
    show = f"{KEEP.replace('sys.argv[1]', repr(os.devnull))}sys.exit(1)"

    async with telling(program(show), notice()):
        await until(records, 1)

    (line,) = [line for line in logged.lines if "notify.command failed" in line]
    assert "{'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL': 'C'} True" in line


async def test_what_a_failing_program_said_is_logged_up_to_a_limit(
    program: Run, records: Records, logged: Logged
) -> None:
    loud = "import sys; print('x' * 3_000_000); print('the end', file=sys.stderr); sys.exit(1)"
    notify = program(loud)

    async with telling(notify, notice()):
        await until(records, 1)

    (line,) = [line for line in logged.lines if "notify.command failed" in line]
    assert "ended with exit code 1" in line
    assert "the end" in line
    assert len(line) < 10_000
    assert notify.failed == 1


async def test_one_that_hangs_and_ignores_term_is_killed_and_the_next_is_told(
    program: Run, records: Records, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Child, "term_grace_s", 0.2)
    hangs = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if '"count": 1' in sys.stdin.read():
    time.sleep(100)
"""
    notify = program(hangs)
    notify.deadline_s = 0.5

    async with telling(notify, notice(1)):
        await until(records, 1)
        notify.deadline_s = 10
        notify.send(notice(2))
        await until(records, 2)

    assert [(record["state"], record["exit_code"]) for record in records] == [
        ("timeout", -9),
        ("ok", 0),
    ]
    assert logged.count("did not end within 0.5 s") == 1


async def test_when_it_is_behind_the_oldest_are_dropped_and_counted(
    program: Run, records: Records, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    notify = program("")

    async with telling(notify, *map(notice, range(5))):
        await until(records, 2)

    assert [int(record["bundle"][18:].split(".")[0]) for record in records] == [3, 4]
    assert notify.dropped == 3
    assert logged.count("notify.command is behind") == 3


async def test_at_the_end_the_running_one_ends_and_the_rest_is_dropped(
    program: Run, records: Records, logged: Logged, tmp_path: Path
) -> None:
    begun, go_on = tmp_path / "begun", tmp_path / "go on"
    for path in (begun, go_on):
        os.mkfifo(path)
    notify = program("import sys\nfor p in sys.argv[1:]: open(p).read()", str(begun), str(go_on))

    async with telling(notify, notice(1), notice(2), notice(3)):
        await asyncio.to_thread(begun.write_text, "")  # waits for a reader
        notify.close()
        await asyncio.to_thread(go_on.write_text, "")

    assert [record["state"] for record in records] == ["ok"]
    assert notify.dropped == 2
    assert logged.count("notices not told, aod ends: count=2") == 1


async def test_a_cancelled_one_is_ended_and_recorded(
    program: Run, records: Records, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    os.mkfifo(begun)
    notify = program("import sys, time\nopen(sys.argv[1]).read(); time.sleep(100)", str(begun))
    notify.send(notice())

    async with asyncio.timeout(20):
        task = asyncio.get_running_loop().create_task(notify.run())
        await asyncio.to_thread(begun.write_text, "")
        task.cancel()
        await asyncio.wait([task])

    assert [record["state"] for record in records] == ["cancelled"]


@pytest.mark.parametrize(
    ("mode", "expected"), [(0o777, "others can write to"), (0o644, "is no program")]
)
async def test_a_program_that_has_changed_since_is_not_run(
    program: Run, records: Records, logged: Logged, mode: int, expected: str
) -> None:
    notify = program("")
    await asyncio.to_thread(Path(notify.command[0]).chmod, mode)

    async with telling(notify, notice()):
        await until(records, 1)

    assert logged.count(expected) == 1
    assert records[0]["exit_code"] is None


async def test_without_a_command_nothing_is_queued(witness: Witness) -> None:
    notify = Notify([], Children(witness, witness), witness)

    async with telling(notify, *map(notice, range(100))):
        pass

    assert (notify.dropped, witness.records) == (0, [])
