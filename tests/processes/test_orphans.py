"""Grandchildren that leave the group of their parent."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from aod.processes import orphans
from aod.processes.children import Children
from tests.actions.conftest import FakeFiles
from tests.children import Witness
from tests.processes.test_command import DEADLINE_S, MakeOutput, is_gone, python, read

LEAVES_ONE = """
import os, time
left, leaving = os.pipe()
if os.fork() == 0:
    os.setsid()
    print(os.getpid(), flush=True)
    os.close(1)
    os.close(2)
    os.close(leaving)
    time.sleep(1000)
os.close(leaving)
os.read(left, 1)
"""


@pytest.fixture
async def watching(children: Children) -> AsyncIterator[None]:
    """Orphans are watched for while the test runs."""
    adopted = asyncio.Event()

    async def watch() -> None:
        task = asyncio.ensure_future(orphans.watch(children))
        await asyncio.sleep(0)
        adopted.set()
        await task

    async with asyncio.TaskGroup() as group:
        task = group.create_task(watch())
        await adopted.wait()
        yield
        task.cancel()


async def gone(pid: int) -> None:
    async with asyncio.timeout(10):
        while not is_gone(pid):  # noqa: ASYNC110 - nothing tells that a process was reaped
            await asyncio.sleep(0.01)


async def test_a_grandchild_in_a_session_of_its_own_is_ended_and_reaped(
    children: Children, make_output: MakeOutput, files: FakeFiles, watching: None
) -> None:
    output = make_output()

    ending = await python(LEAVES_ONE).run(children, output, DEADLINE_S)

    assert ending.state == "ok"
    orphan = int(await read(output, files))
    await gone(orphan)


async def test_a_child_that_runs_is_no_orphan(
    children: Children, make_output: MakeOutput, witness: Witness, watching: None
) -> None:
    run = asyncio.ensure_future(
        python("import time; time.sleep(0.5)").run(children, make_output(), DEADLINE_S)
    )
    await witness.started.wait()

    living = await asyncio.to_thread(orphans.pids_of_all)

    assert living == children.pids == set(witness.marked)
    assert await orphans.sweep(children) == 0
    assert (await run).exit_code == 0


async def test_while_a_child_is_being_started_nobody_is_taken_for_an_orphan(
    children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "pids_of_all", lambda: {os.getpid()})  # must not be ended

    with children.starting():
        ended = await orphans.sweep(children)

    assert ended == 0
