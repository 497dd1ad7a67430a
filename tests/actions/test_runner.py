"""Tests of aod.actions.runner."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from aod.actions.action import Abandoned, Action, ActionResult, Context, Result, Skip, Span
from aod.actions.output import Files, Output
from aod.actions.program import run
from aod.actions.runner import Runner
from aod.processes.children import Children
from aod.processes.command import Command
from tests.children import SPAN, Witness, make_runner

from .conftest import PYTHON, FakeFiles

Collect = Callable[[Context, Output], Awaitable[Result]]


class Fake:
    """An action that does what the test says."""

    def __init__(self, collect: Collect, name: str = "fake") -> None:
        self.name = name
        self.file_name = f"{name}.txt"
        self._collect = collect

    async def collect(self, context: Context, output: Output) -> Result:
        return await self._collect(context, output)


async def writes(context: Context, output: Output) -> Result:
    await output.write(b"content")
    return Result()


async def act(
    files: Files, *fakes: Action, runner: Runner | None = None, span: Span = SPAN
) -> tuple[ActionResult, ...]:
    """Run actions to their end and return their results."""
    told: list[ActionResult] = []
    return await (runner or make_runner()).run(fakes, span, files, told.append)


def raises(error: Exception) -> Collect:
    async def collect(context: Context, output: Output) -> Result:
        raise error

    return collect


async def test_a_result_tells_file_size_and_times(files: FakeFiles) -> None:
    (result,) = await act(files, Fake(writes))

    assert (result.state, result.file, result.bytes) == ("ok", "fake.txt", 7)
    assert result.started_wall_ns > 0
    assert 0 < result.duration_s < 10
    assert result.as_dict()["name"] == "fake"


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (Skip("not here"), "skipped", "not here"),
        (Abandoned("stuck on a file"), "abandoned", "stuck on a file"),
        (TimeoutError("too slow"), "timeout", "too slow"),
        (PermissionError(13, "", "/x"), "failed", "Permission denied (/x)"),
        (OSError("not a regular file"), "failed", "not a regular file"),
    ],
)
async def test_what_an_action_raises_is_its_result_and_no_one_elses(
    files: FakeFiles, error: Exception, state: str, reason: str
) -> None:
    actions = [Fake(raises(error)), Fake(writes, "other")]

    failed, other = await act(files, *actions)

    assert (failed.state, failed.reason, failed.file) == (state, reason, None)
    assert other.state == "ok"


async def test_an_unexpected_error_is_a_result_and_logged_with_its_trace(
    files: FakeFiles, caplog: pytest.LogCaptureFixture
) -> None:
    (result,) = await act(files, Fake(raises(KeyError("bug"))))

    assert (result.state, result.reason) == ("failed", "KeyError: 'bug'")
    assert [record.levelno for record in caplog.records if record.exc_info] == [logging.ERROR]


async def test_at_most_so_many_run_at_once_over_all_incidents(files: FakeFiles) -> None:
    runner, running, most = make_runner(), 0, 0

    async def counts(context: Context, output: Output) -> Result:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(10):
            await asyncio.to_thread(int)
        running -= 1
        return Result()

    async with asyncio.TaskGroup() as incidents:
        for _ in range(2):
            incidents.create_task(act(files, *[Fake(counts)] * 5, runner=runner))

    assert most == 4


async def test_they_start_in_the_order_of_the_table(files: FakeFiles) -> None:
    names = ["mine", "smbinfo", "dmesg", "debugdata"]

    runner = make_runner()
    runner.change_limit(1)

    results = await act(files, *[Fake(writes, name) for name in names], runner=runner)

    assert [result.name for result in results] == ["debugdata", "dmesg", "smbinfo", "mine"]
    starts = [result.started_wall_ns for result in results]
    assert starts == sorted(starts)


async def test_each_result_is_told_as_it_is_there(files: FakeFiles) -> None:
    told: list[ActionResult] = []
    first_told = asyncio.Event()

    def tell(result: ActionResult) -> None:
        told.append(result)
        first_told.set()

    async def waits(context: Context, output: Output) -> Result:
        await first_told.wait()
        return Result()

    async with asyncio.timeout(5):
        fakes = [Fake(waits, "slow"), Fake(writes)]
        results = await make_runner().run(fakes, SPAN, files, tell)

    assert [result.name for result in told] == ["fake", "slow"]
    assert sorted(told, key=id) == sorted(results, key=id)


async def test_cancellation_ends_children_and_tells_what_was_cut_off(
    files: FakeFiles, witness: Witness
) -> None:
    told: list[ActionResult] = []
    runner = make_runner(witness)
    runner.change_limit(1)

    async def child(context: Context, output: Output) -> Result:
        code = "import signal; print('begun', flush=True); signal.pause()"
        return await run(Command(PYTHON, ("-IS", "-c", code)), context, output)

    async with asyncio.TaskGroup() as group:
        actions = [Fake(child, "dmesg"), Fake(writes, "smbinfo")]
        task = group.create_task(runner.run(actions, SPAN, files, told.append))
        await witness.started.wait()
        task.cancel()

    states = {result.name: (result.state, result.reason) for result in told}
    assert states == {
        "dmesg": ("cancelled", "aod ended while it ran"),
        "smbinfo": ("cancelled", "aod ended before it was started"),
    }
    assert witness.unmarked == witness.marked


async def test_an_action_without_a_deadline_of_its_own_ends_all_the_same(
    files: FakeFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aod.actions.runner.LAST_RESORT_S", 0.0)
    span = replace(SPAN, timeout_s=0.1, post_trigger_s=0.1)

    async def hangs(context: Context, output: Output) -> Result:
        await asyncio.Event().wait()
        return Result()

    (result,) = await act(files, Fake(hangs), span=span)

    assert (result.state, result.reason) == ("timeout", "it did not end within 0.2 s")


async def test_a_file_that_cannot_be_written_fails_its_action() -> None:
    class ReadOnly:
        def create_file(self, name: str) -> int:
            raise OSError(30, "Read-only file system")

    (result,) = await act(ReadOnly(), Fake(writes))

    assert result.state == "failed"
    assert result.reason == "cannot write fake.txt: Read-only file system"


async def test_an_action_that_finds_nothing_says_so(files: FakeFiles) -> None:
    async def nothing(context: Context, output: Output) -> Result:
        return Result()

    (result,) = await act(files, Fake(nothing))

    assert (result.state, result.reason, result.file) == ("ok", "it was empty", None)


async def test_what_is_stuck_is_known_to_all_later_actions(
    files: FakeFiles, children: Children, witness: Witness
) -> None:
    runner = Runner(4, children, witness)

    async def leaves_one(context: Context, output: Output) -> Result:
        context.stuck.add("child")
        return Result("abandoned")

    async def sees(context: Context, output: Output) -> Result:
        return Result("skipped" if "child" in context.stuck else "failed")

    await act(files, Fake(leaves_one), runner=runner)
    (seen,) = await act(files, Fake(sees), runner=runner)

    assert (seen.state, children.stuck.now, children.stuck.total) == ("skipped", 1, 1)
