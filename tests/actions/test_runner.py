"""Tests of aod.actions.runner."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from aod.actions.action import Abandoned, ActionResult, Context, Outcome, Skip
from aod.actions.output import Output
from aod.actions.runner import Runner
from aod.processes.command import Command

from .conftest import PYTHON, FakeFiles, Surroundings

Collect = Callable[[Context, Output], Awaitable[Outcome]]


class Fake:
    """An action that does what the test says."""

    def __init__(self, collect: Collect, name: str = "fake") -> None:
        self.name = name
        self.file_name = f"{name}.txt"
        self._collect = collect

    async def collect(self, context: Context, output: Output) -> Outcome:
        return await self._collect(context, output)


async def writes(context: Context, output: Output) -> Outcome:
    await output.write(b"content")
    return Outcome()


def raises(error: Exception) -> Collect:
    async def collect(context: Context, output: Output) -> Outcome:
        raise error

    return collect


async def test_a_result_tells_file_size_and_times(context: Context, files: FakeFiles) -> None:
    (result,) = await Runner(4).run([Fake(writes)], context, files)

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
    context: Context, files: FakeFiles, error: Exception, state: str, reason: str
) -> None:
    actions = [Fake(raises(error)), Fake(writes, "other")]

    failed, other = await Runner(4).run(actions, context, files)

    assert (failed.state, failed.reason, failed.file) == (state, reason, None)
    assert other.state == "ok"


async def test_an_unexpected_error_is_a_result_and_logged_with_its_trace(
    context: Context, files: FakeFiles, caplog: pytest.LogCaptureFixture
) -> None:
    (result,) = await Runner(4).run([Fake(raises(KeyError("bug")))], context, files)

    assert (result.state, result.reason) == ("failed", "KeyError: 'bug'")
    assert [record.levelno for record in caplog.records if record.exc_info] == [logging.ERROR]


async def test_at_most_so_many_run_at_once_over_all_incidents(
    context: Context, files: FakeFiles
) -> None:
    runner, running, most = Runner(4), 0, 0

    async def counts(context: Context, output: Output) -> Outcome:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(10):
            await asyncio.to_thread(int)
        running -= 1
        return Outcome()

    async with asyncio.TaskGroup() as incidents:
        for _ in range(2):
            incidents.create_task(runner.run([Fake(counts)] * 5, context, files))

    assert most == 4


async def test_they_start_in_the_order_of_the_table(context: Context, files: FakeFiles) -> None:
    names = ["mine", "smbinfo", "dmesg", "debugdata"]

    results = await Runner(1).run([Fake(writes, name) for name in names], context, files)

    assert [result.name for result in results] == ["debugdata", "dmesg", "smbinfo", "mine"]
    starts = [result.started_wall_ns for result in results]
    assert starts == sorted(starts)


async def test_each_result_is_told_as_it_is_there(context: Context, files: FakeFiles) -> None:
    told: list[ActionResult] = []
    first_told = asyncio.Event()

    def tell(result: ActionResult) -> None:
        told.append(result)
        first_told.set()

    async def waits(context: Context, output: Output) -> Outcome:
        await first_told.wait()
        return Outcome()

    async with asyncio.timeout(5):
        results = await Runner(4).run([Fake(waits, "slow"), Fake(writes)], context, files, tell)

    assert [result.name for result in told] == ["fake", "slow"]
    assert sorted(told, key=id) == sorted(results, key=id)


async def test_cancellation_ends_children_and_tells_what_was_cut_off(
    context: Context, files: FakeFiles, surroundings: Surroundings
) -> None:
    told: list[ActionResult] = []

    async def child(context: Context, output: Output) -> Outcome:
        code = "import signal; print('begun', flush=True); signal.pause()"
        return await Command(PYTHON, ("-IS", "-c", code)).run(context, output)

    async with asyncio.TaskGroup() as group:
        actions = [Fake(child, "dmesg"), Fake(writes, "smbinfo")]
        task = group.create_task(Runner(1).run(actions, context, files, told.append))
        await surroundings.started.wait()
        task.cancel()

    states = {result.name: (result.state, result.reason) for result in told}
    assert states == {
        "dmesg": ("cancelled", "aod ended while it ran"),
        "smbinfo": ("cancelled", "aod ended before it was started"),
    }
    assert surroundings.unmarked == surroundings.marked


async def test_an_action_without_a_deadline_of_its_own_ends_all_the_same(
    context: Context, files: FakeFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aod.actions.runner.LAST_RESORT_S", 0.0)
    context = replace(context, timeout_s=0.1, post_trigger_s=0.1)

    async def hangs(context: Context, output: Output) -> Outcome:
        await asyncio.Event().wait()
        return Outcome()

    (result,) = await Runner(4).run([Fake(hangs)], context, files)

    assert (result.state, result.reason) == ("timeout", "it did not end within 0.2 s")


async def test_a_file_that_cannot_be_written_fails_its_action(context: Context) -> None:
    class ReadOnly:
        def create_file(self, name: str) -> int:
            raise OSError(30, "Read-only file system")

    (result,) = await Runner(4).run([Fake(writes)], context, ReadOnly())

    assert result.state == "failed"
    assert result.reason == "cannot write fake.txt: Read-only file system"


async def test_an_action_that_finds_nothing_says_so(context: Context, files: FakeFiles) -> None:
    async def nothing(context: Context, output: Output) -> Outcome:
        return Outcome()

    (result,) = await Runner(4).run([Fake(nothing)], context, files)

    assert (result.state, result.reason, result.file) == ("ok", "it was empty", None)


async def test_the_runner_counts_what_is_stuck_over_all_its_actions(
    context: Context, files: FakeFiles
) -> None:
    runner = Runner(4)

    async def leaves_one(context: Context, output: Output) -> Outcome:
        context.stuck.add("child")
        return Outcome("abandoned")

    async def sees(context: Context, output: Output) -> Outcome:
        return Outcome("skipped" if "child" in context.stuck else "failed")

    await runner.run([Fake(leaves_one)], context, files)
    (seen,) = await runner.run([Fake(sees)], context, files)
    details: dict[str, Any] = {"now": runner.stuck, "total": runner.stuck_total}

    assert (seen.state, details) == ("skipped", {"now": 1, "total": 1})
