"""Tests of aod.actions.file: reading /proc and logs in threads."""

import asyncio
import os
import threading
from collections.abc import Callable
from io import FileIO
from pathlib import Path

import pytest

from aod.actions.action import Abandoned, Context, Skip
from aod.actions.file import Source, copy, read_text
from aod.actions.output import Output

from .conftest import FakeFiles, put, within

MakeOutput = Callable[..., Output]


async def test_a_file_larger_than_a_chunk_is_copied_whole(
    root: Path, context: Context, make_output: MakeOutput, files: FakeFiles
) -> None:
    content = os.urandom(600_000)
    output = make_output()

    await copy(put(root, "file", content), context, output, absent="")
    await output.close()

    assert files.read("out.txt") == content


async def test_an_absent_file_is_skipped_with_the_reason(
    root: Path, context: Context, make_output: MakeOutput
) -> None:
    with pytest.raises(Skip, match="cifs is not loaded"):
        await copy(root / "none", context, make_output(), absent="cifs is not loaded")


async def test_a_link_is_not_followed(root: Path, context: Context) -> None:
    (root / "link").symlink_to(put(root, "file", "secret"))

    with pytest.raises(OSError, match="Too many levels"):
        await read_text(root / "link", context)


async def test_a_fifo_in_the_place_of_a_log_is_refused(root: Path, context: Context) -> None:
    os.mkfifo(root / "fifo")

    with pytest.raises(OSError, match="not a regular file"):
        await read_text(root / "fifo", context)


async def test_a_read_that_hangs_is_abandoned_and_counted_until_it_returns(
    root: Path, context: Context
) -> None:
    path = put(root, "file", "text")
    context = within(context, timeout_s=0.2)
    hanging = threading.Event()

    with pytest.raises(Abandoned, match=r"did not return within 0\.2 s"):
        async with Source(path, context) as source:
            await source.call(lambda file: hanging.wait(10))
    stuck_then = context.stuck.now
    hanging.set()
    async with asyncio.timeout(5):
        while context.stuck.now:
            await asyncio.to_thread(int)

    assert (stuck_then, context.stuck.total) == (1, 1)


async def test_a_file_with_a_stuck_reader_is_not_read_again(root: Path, context: Context) -> None:
    path = put(root, "file", "text")
    context.stuck.add(str(path))

    with pytest.raises(Skip, match="stuck in the kernel"):
        await read_text(path, context)


async def test_reading_ends_at_the_deadline_between_two_reads(root: Path, context: Context) -> None:
    path = put(root, "file", "text")

    async def read_for_ever() -> None:
        async with Source(path, within(context, timeout_s=0.05)) as source:
            while True:
                await source.call(FileIO.tell)

    with pytest.raises(TimeoutError, match="was not read within"):
        await read_for_ever()
