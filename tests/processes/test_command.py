"""Tests of aod.processes.command and child, with real processes."""

import asyncio
import os
import select
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from aod.actions.action import Context, Skip
from aod.actions.output import Output
from aod.processes import programs
from aod.processes.child import Child
from aod.processes.command import Command
from tests.actions.conftest import PYTHON, FakeFiles, Surroundings

MakeOutput = Callable[..., Output]


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
    context: Context, make_output: MakeOutput, files: FakeFiles
) -> None:
    output = make_output()

    outcome = await python("print('hello')").run(context, output)

    assert (outcome.state, outcome.exit_code) == ("ok", 0)
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
    context: Context, make_output: MakeOutput, installed: Path, name: str
) -> None:
    command = Command("true", child=Hasty)
    outcome = await command.run(context, make_output())
    assert outcome.state == "ok"
    (installed / name).unlink()

    with pytest.raises(Skip, match=f"{name} is not installed"):
        await command.run(context, make_output())


async def test_exit_code_and_the_end_of_stderr_are_kept(
    context: Context, make_output: MakeOutput
) -> None:
    code = "import sys; sys.stderr.write('x' * 9000 + 'why'); sys.exit(3)"

    outcome = await python(code).run(context, make_output())

    assert (outcome.state, outcome.exit_code) == ("failed", 3)
    assert outcome.stderr == "x" * 4093 + "why"


async def test_a_missing_program_is_skipped(context: Context, make_output: MakeOutput) -> None:
    with pytest.raises(Skip, match="no-such-program is not installed"):
        await Command("no-such-program").run(context, make_output())


async def test_a_child_has_its_own_session_no_input_and_a_bare_environment(
    context: Context, make_output: MakeOutput, files: FakeFiles
) -> None:
    output = make_output()
    code = "import os,sys; print(os.getsid(0)==os.getpid(), sys.stdin.read(), sorted(os.environ))"

    await python(code).run(context, output)

    assert await read(output, files) == b"True  ['LC_ALL', 'PATH']\n"


async def test_a_child_dies_with_aod(
    context: Context, make_output: MakeOutput, files: FakeFiles
) -> None:
    output = make_output()
    pr_get_pdeathsig = 2
    code = (
        "import ctypes; number = ctypes.c_int(); "
        f"ctypes.CDLL(None).prctl({pr_get_pdeathsig}, ctypes.byref(number)); print(number.value)"
    )

    await python(code).run(context, output)

    assert await read(output, files) == b"9\n"


async def test_a_child_that_ignores_term_is_killed_at_its_deadline(
    context: Context, make_output: MakeOutput, surroundings: Surroundings
) -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile 1: signal.pause()"

    outcome = await python(code).run(context, make_output(), timeout_s=0.5)

    assert (outcome.state, outcome.exit_code) == ("timeout", -9)
    assert outcome.reason.endswith("did not end within 0.5 s")
    assert is_gone(surroundings.marked[0])


async def test_a_child_that_prints_without_end_is_cut_at_the_cap(
    context: Context, make_output: MakeOutput, files: FakeFiles
) -> None:
    output = make_output(max_bytes=100_000)

    outcome = await Command("yes", child=Hasty).run(context, output)

    content = await read(output, files)
    assert (outcome.state, output.truncated) == ("ok", True)
    assert content == b"y\n" * 50_000 + b"\n[aod: truncated at 100000 bytes]\n"


async def test_a_child_that_complains_without_end_ends_at_its_deadline(
    context: Context, make_output: MakeOutput
) -> None:
    code = "import sys\nwhile 1: sys.stderr.write('no ' * 1000)"

    outcome = await python(code).run(context, make_output(), timeout_s=0.5)

    assert outcome.state == "timeout"
    assert len(outcome.stderr) == 4096


async def test_a_grandchild_that_holds_the_pipe_dies_with_the_child(
    context: Context, make_output: MakeOutput, files: FakeFiles
) -> None:
    output = make_output()
    code = "import os, signal\npid = os.fork()\nif pid: print(pid)\nelse: signal.pause()"

    outcome = await python(code).run(context, output)

    assert (outcome.state, outcome.reason) == ("ok", "")
    assert ends(int(await read(output, files)))


async def test_a_daemon_that_holds_the_pipe_does_not_hold_the_action(
    context: Context, make_output: MakeOutput
) -> None:
    code = (
        "import os, signal\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    signal.alarm(20)\n"
        "    signal.pause()\n"
        "else:\n"
        "    import time; time.sleep(0.3)\n"
    )

    async with asyncio.timeout(5):
        outcome = await python(code).run(context, make_output())

    assert outcome.state == "ok"
    assert outcome.reason.endswith("left its output open behind it")


async def test_a_child_that_runs_until_told_ends_well_after_its_time(
    context: Context, make_output: MakeOutput
) -> None:
    outcome = await python("import signal; signal.pause()", run_for_s=0.3).run(
        context, make_output()
    )

    assert (outcome.state, outcome.exit_code) == ("ok", -15)


async def test_a_child_that_should_run_but_fails_at_once_is_a_failure(
    context: Context, make_output: MakeOutput
) -> None:
    async with asyncio.timeout(5):
        outcome = await python("raise SystemExit(1)", run_for_s=60).run(context, make_output())

    assert (outcome.state, outcome.exit_code) == ("failed", 1)


async def test_cancellation_ends_and_reaps_the_child(
    context: Context, make_output: MakeOutput, surroundings: Surroundings
) -> None:
    command = python("import signal; signal.pause()")

    async with asyncio.TaskGroup() as group:
        task = group.create_task(command.run(context, make_output()))
        await surroundings.started.wait()
        task.cancel()

    assert task.cancelled()
    assert surroundings.records[0]["exit_code"] == -15
    assert is_gone(surroundings.records[0]["pid"])


async def test_a_child_is_marked_as_ours_while_it_lives_and_recorded(
    context: Context, make_output: MakeOutput, surroundings: Surroundings
) -> None:
    await python("pass").run(context, make_output())

    (record,) = surroundings.records
    assert surroundings.marked == surroundings.unmarked == [record["pid"]]
    assert record["argv"][record["argv"].index("--") + 1] == PYTHON
    assert (record["kind"], record["exit_code"]) == ("child", 0)
    assert 0 < record["duration_s"] < 10


async def test_a_stuck_child_is_abandoned_and_counted_until_it_goes(
    context: Context, make_output: MakeOutput
) -> None:
    gone = asyncio.Event()

    class Stuck(Deaf):
        def process_exited(self) -> None:
            super().process_exited()
            gone.set()

    command = python("import signal; signal.pause()", child=Stuck)

    outcome = await command.run(context, make_output(), timeout_s=0.3)
    stuck_then = context.stuck.now
    async with asyncio.timeout(5):
        await gone.wait()

    assert outcome.state == "abandoned"
    assert (stuck_then, context.stuck.now, context.stuck.total) == (1, 0, 1)


async def test_a_program_with_a_stuck_child_is_not_started_again(
    context: Context, make_output: MakeOutput, surroundings: Surroundings
) -> None:
    context.stuck.add(PYTHON)

    with pytest.raises(Skip, match="stuck in the kernel"):
        await python("pass").run(context, make_output())

    assert surroundings.marked == []


async def test_a_full_disk_ends_the_child(context: Context) -> None:
    class FullDisk:
        def create_file(self, name: str) -> int:
            return os.open("/dev/full", os.O_WRONLY)

    output = Output(FullDisk(), "out.txt", 1 << 20)

    outcome = await Command("yes", child=Hasty).run(replace(context, timeout_s=5), output)
    await output.close()

    assert outcome.exit_code == -15
    assert output.failure == "cannot write out.txt: No space left on device"
