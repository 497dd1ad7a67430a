"""Tests of aod.processes.command and child, with real processes."""

import asyncio
import os
import select
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from aod.actions.output import Output
from aod.processes import programs
from aod.processes.child import Child
from aod.processes.children import Children
from aod.processes.command import Command
from aod.processes.programs import NotRun
from tests.actions.conftest import PYTHON, FakeFiles
from tests.children import Witness

MakeOutput = Callable[..., Output]
DEADLINE_S = 10.0


class Hasty(Child):
    """Does not wait as long, so that the tests do not."""

    term_grace_s = 0.3
    kill_grace_s = 0.3


class Deaf(Hasty):
    """As if the kernel held it in state D: no signal of ours ends it."""

    def signal_group(self, number: int) -> None:
        pass


def python(code: str, run_for_s: float | None = None, child: type[Child] = Hasty) -> Command:
    return Command(PYTHON, ("-I", "-S", "-c", code), run_for_s=run_for_s, child=child)


async def read(output: Output, files: FakeFiles) -> bytes:
    await output.close()
    return await asyncio.to_thread(files.read, output.name)


def is_gone(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return False
    return True


def ends(pid: int) -> bool:
    """Tell whether a process that was killed has ended, reaped or not; waits for it."""
    with suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        ended = select.select([pidfd], [], [], 10)[0]
        os.close(pidfd)
        return bool(ended)
    return True


async def test_what_a_child_prints_is_its_file(
    children: Children, make_output: MakeOutput, files: FakeFiles
) -> None:
    output = make_output()

    ending = await python("print('hello')").run(children, output, DEADLINE_S)

    assert (ending.state, ending.exit_code) == ("ok", 0)
    assert await read(output, files) == b"hello\n"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder in which programs are looked for: true, and what starts it."""
    for name in ("true", *programs.CONFINING):
        (tmp_path / name).symlink_to(programs.find(name))
    programs.find.cache_clear()
    monkeypatch.setattr(programs, "SEARCH_PATH", str(tmp_path))
    yield tmp_path
    programs.find.cache_clear()


@pytest.mark.parametrize("name", ["true", "setpriv", "prlimit"])
async def test_a_program_that_vanished_since_it_was_found_is_skipped(
    children: Children, make_output: MakeOutput, installed: Path, name: str
) -> None:
    command = Command("true", child=Hasty)
    ending = await command.run(children, make_output(), DEADLINE_S)
    assert ending.state == "ok"
    (installed / name).unlink()

    with pytest.raises(NotRun, match=f"{name} is not installed"):
        await command.run(children, make_output(), DEADLINE_S)


async def test_exit_code_and_the_end_of_stderr_are_kept(
    children: Children, make_output: MakeOutput
) -> None:
    code = "import sys; sys.stderr.write('x' * 9000 + 'why'); sys.exit(3)"

    ending = await python(code).run(children, make_output(), DEADLINE_S)

    assert (ending.state, ending.exit_code) == ("failed", 3)
    assert ending.stderr == "x" * 4093 + "why"


async def test_a_missing_program_is_skipped(children: Children, make_output: MakeOutput) -> None:
    with pytest.raises(NotRun, match="no-such-program is not installed"):
        await Command("no-such-program").run(children, make_output(), DEADLINE_S)


async def test_a_child_has_its_own_session_no_input_and_a_bare_environment(
    children: Children, make_output: MakeOutput, files: FakeFiles
) -> None:
    output = make_output()
    code = "import os,sys; print(os.getsid(0)==os.getpid(), sys.stdin.read(), sorted(os.environ))"

    await python(code).run(children, output, DEADLINE_S)

    assert await read(output, files) == b"True  ['LC_ALL', 'PATH']\n"


async def test_a_child_dies_with_aod(
    children: Children, make_output: MakeOutput, files: FakeFiles
) -> None:
    output = make_output()
    pr_get_pdeathsig = 2
    code = (
        "import ctypes; number = ctypes.c_int(); "
        f"ctypes.CDLL(None).prctl({pr_get_pdeathsig}, ctypes.byref(number)); print(number.value)"
    )

    await python(code).run(children, output, DEADLINE_S)

    assert await read(output, files) == b"9\n"


async def test_a_child_that_ignores_term_is_killed_at_its_deadline(
    children: Children, make_output: MakeOutput, witness: Witness
) -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile 1: signal.pause()"

    ending = await python(code).run(children, make_output(), deadline_s=0.5)

    assert (ending.state, ending.exit_code) == ("timeout", -9)
    assert ending.reason.endswith("did not end within 0.5 s")
    assert is_gone(witness.marked[0])


async def test_a_child_that_prints_without_end_is_cut_at_the_cap(
    children: Children, make_output: MakeOutput, files: FakeFiles
) -> None:
    output = make_output(max_bytes=100_000)

    ending = await Command("yes", child=Hasty).run(children, output, DEADLINE_S)

    content = await read(output, files)
    assert (ending.state, output.truncated) == ("ok", True)
    assert content == b"y\n" * 50_000 + b"\n[aod: truncated at 100000 bytes]\n"


async def test_a_child_that_complains_without_end_ends_at_its_deadline(
    children: Children, make_output: MakeOutput
) -> None:
    code = "import sys\nwhile 1: sys.stderr.write('no ' * 1000)"

    ending = await python(code).run(children, make_output(), deadline_s=0.5)

    assert ending.state == "timeout"
    assert len(ending.stderr) == 4096


async def test_a_grandchild_that_holds_the_pipe_dies_with_the_child(
    children: Children, make_output: MakeOutput, files: FakeFiles
) -> None:
    output = make_output()
    code = "import os, signal\npid = os.fork()\nif pid: print(pid)\nelse: signal.pause()"

    ending = await python(code).run(children, output, DEADLINE_S)

    assert (ending.state, ending.reason) == ("ok", "")
    assert ends(int(await read(output, files)))


async def test_a_daemon_that_holds_the_pipe_does_not_hold_the_action(
    children: Children, make_output: MakeOutput
) -> None:
    code = (
        "import os, signal\n"
        "left, leaving = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    os.close(leaving)\n"
        "    signal.alarm(20)\n"
        "    signal.pause()\n"
        "os.close(leaving)\n"
        "os.read(left, 1)\n"
    )

    async with asyncio.timeout(5):
        ending = await python(code).run(children, make_output(), DEADLINE_S)

    assert ending.state == "ok"
    assert ending.reason.endswith("left its output open behind it")


async def test_a_child_that_runs_until_told_ends_well_after_its_time(
    children: Children, make_output: MakeOutput
) -> None:
    ending = await python("import signal; signal.pause()", run_for_s=0.3).run(
        children, make_output(), DEADLINE_S
    )

    assert (ending.state, ending.exit_code) == ("ok", -15)


async def test_a_child_that_should_run_but_fails_at_once_is_a_failure(
    children: Children, make_output: MakeOutput
) -> None:
    async with asyncio.timeout(5):
        ending = await python("raise SystemExit(1)", run_for_s=60).run(
            children, make_output(), DEADLINE_S
        )

    assert (ending.state, ending.exit_code) == ("failed", 1)


async def test_cancellation_ends_and_reaps_the_child(
    children: Children, make_output: MakeOutput, witness: Witness
) -> None:
    command = python("import signal; signal.pause()")

    async with asyncio.TaskGroup() as group:
        task = group.create_task(command.run(children, make_output(), DEADLINE_S))
        await witness.started.wait()
        task.cancel()

    assert task.cancelled()
    assert witness.records[0]["exit_code"] == -15
    assert is_gone(witness.records[0]["pid"])


async def test_a_child_is_marked_as_ours_while_it_lives_and_recorded(
    children: Children, make_output: MakeOutput, witness: Witness
) -> None:
    await python("pass").run(children, make_output(), DEADLINE_S)

    (record,) = witness.records
    assert witness.marked == witness.unmarked == [record["pid"]]
    assert record["argv"][record["argv"].index("--") + 1] == PYTHON
    assert (record["event"], record["exit_code"]) == ("child", 0)
    assert 0 < record["duration_s"] < 10


async def test_a_stuck_child_is_abandoned_and_counted_until_it_goes(
    children: Children, make_output: MakeOutput
) -> None:
    gone = asyncio.Event()

    class Stuck(Deaf):
        def process_exited(self) -> None:
            super().process_exited()
            gone.set()

    command = python("import signal; signal.pause()", child=Stuck)

    ending = await command.run(children, make_output(), deadline_s=0.3)
    stuck_then = children.stuck.now
    async with asyncio.timeout(5):
        await gone.wait()

    assert ending.state == "abandoned"
    assert (stuck_then, children.stuck.now, children.stuck.total) == (1, 0, 1)


async def test_a_program_with_a_stuck_child_is_not_started_again(
    children: Children, make_output: MakeOutput, witness: Witness
) -> None:
    children.stuck.add(PYTHON)

    with pytest.raises(NotRun, match="stuck in the kernel"):
        await python("pass").run(children, make_output(), DEADLINE_S)

    assert witness.marked == []


async def test_a_full_disk_ends_the_child(children: Children) -> None:
    class FullDisk:
        def create_file(self, name: str) -> int:
            return os.open("/dev/full", os.O_WRONLY)

    output = Output(FullDisk(), "out.txt", 1 << 20)

    ending = await Command("yes", child=Hasty).run(children, output, 5)
    await output.close()

    assert ending.exit_code == -15
    assert output.failure == "cannot write out.txt: No space left on device"
