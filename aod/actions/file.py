"""Copies a file of /proc or /var/log in threads, up to a cap and a deadline."""

import asyncio
import os
import stat
from collections.abc import Callable
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Any, Self, TypeVar, TypeVarTuple

from aod.actions.action import Abandoned, Context, Result, Skip
from aod.actions.output import Output
from aod.host.capabilities import Capability, raised

CHUNK_BYTES = 256 << 10
STUCK_GRACE_S = 1.0
"""A read that began before the deadline may end so long after it before it counts as stuck."""
MAX_TEXT_BYTES = 8 << 20
"""A node with 10,000 pods' mounts has 3 MiB of mountinfo."""

_T = TypeVar("_T")
_Arguments = TypeVarTuple("_Arguments")


class Source:
    """One file that is read in threads, all of it within the context's `timeout_s`.

    `async with` opens it: O_NOFOLLOW, and only a regular file. Raises OSError as open does,
    TimeoutError between two reads, Abandoned when a read does not return, and Skip while an
    earlier one of this file has not.
    """

    def __init__(self, path: Path, context: Context) -> None:
        self._path = path
        self._stuck = context.stuck
        self._timeout_s = context.span.timeout_s
        self._until_s = asyncio.get_running_loop().time() + context.span.timeout_s
        self._file: FileIO | None = None

    async def __aenter__(self) -> Self:
        self._file = await self._in_thread(_open, self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        # A thread that hangs in a read keeps the file; it is closed when the thread lets go.
        if self._file is not None and str(self._path) not in self._stuck:
            await asyncio.to_thread(self._file.close)

    async def call(self, function: Callable[[FileIO, *_Arguments], _T], *args: *_Arguments) -> _T:
        """Return function(file, *args), called in a thread."""
        assert self._file is not None
        return await self._in_thread(function, self._file, *args)

    async def copy(self, output: Output) -> None:
        """Copy from the file's position to its end or to the output's cap."""
        while chunk := await self.call(FileIO.read, CHUNK_BYTES):
            if not await output.write(chunk):
                return

    async def _in_thread(self, function: Callable[[*_Arguments], _T], *args: *_Arguments) -> _T:
        owner = str(self._path)
        if owner in self._stuck:
            raise Skip(f"an earlier read of {owner} is stuck in the kernel")
        loop = asyncio.get_running_loop()
        left_s = self._until_s - loop.time()
        if left_s <= 0:
            raise TimeoutError(f"{owner} was not read within {self._timeout_s:g} s")
        # Not to_thread: its future is cancelled with us, and a stuck thread could not be counted.
        future = loop.run_in_executor(None, partial(function, *args))
        try:
            await asyncio.wait({future}, timeout=left_s + STUCK_GRACE_S)
        finally:
            if not future.done():
                self._stuck.add(owner)
                future.add_done_callback(self._let_go)
        if not future.done():
            raise Abandoned(f"reading {owner} did not return within {self._timeout_s:g} s")
        return future.result()

    def _let_go(self, future: asyncio.Future[Any]) -> None:
        self._stuck.remove(str(self._path))
        opened = None if future.cancelled() or future.exception() else future.result()
        for file in (self._file, opened):
            if isinstance(file, FileIO):
                file.close()


async def copy(path: Path, context: Context, output: Output, absent: str) -> Result:
    """Copy a whole file; raises Skip with the reason `absent` when there is none."""
    try:
        async with Source(path, context) as source:
            await source.copy(output)
    except FileNotFoundError:
        raise Skip(absent) from None
    return Result()


async def read_text(path: Path, context: Context) -> str:
    """Return a file's text, at most MAX_TEXT_BYTES of it, decoded as file names are."""
    chunks: list[bytes] = []
    room = MAX_TEXT_BYTES
    async with Source(path, context) as source:
        while chunk := await source.call(FileIO.read, min(room, CHUNK_BYTES)):
            chunks.append(chunk)
            room -= len(chunk)
    return os.fsdecode(b"".join(chunks))


@raised(Capability.DAC_READ_SEARCH)  # Ubuntu's /var/log/syslog is not root's
def _open(path: Path) -> FileIO:
    # O_NONBLOCK: a FIFO in the place of a log would wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    file = FileIO(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise OSError(f"{path} is not a regular file")
    return file
