"""Runs one program and streams what it prints to whoever wants it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from aod.host.capabilities import Capability
from aod.processes.child import Child
from aod.processes.children import Children
from aod.processes.programs import CONFINING, NOT_FOUND, NotRun, confined, require_there

CHUNK_BYTES = 64 << 10
STDERR_KEPT_BYTES = 4 << 10
STDERR_READ_BYTES = 1 << 20
"""A child that complains without end is read no further, and its deadline ends it."""
PIPE_GRACE_S = 1.0
"""How long the pipes may stay open after the child's end: a grandchild may hold them."""


State: TypeAlias = Literal["ok", "failed", "timeout", "abandoned"]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a child ended; `abandoned`: it is stuck in the kernel, left behind.

    `reason` is a plain sentence, `exit_code` minus the signal that ended it, `stderr` the last
    4 KiB of it.
    """

    state: State
    reason: str = ""
    exit_code: int | None = None
    stderr: str = ""


class Sink(Protocol):
    """Where what a program prints goes: a file, or what keeps a part of it."""

    async def write(self, data: bytes) -> bool:
        """Take more; return whether there is room for still more."""


@dataclass(frozen=True, slots=True)
class Command:
    """One program with its arguments, never through a shell.

    It gets its own session, `stdin` as its input, an environment of PATH and LC_ALL=C, none of
    root's `capabilities` but these, writes no file, and dies with aod.
    `run_for_s` is for a program that runs until it is signalled to end: SIGTERM after that time is
    its normal end. `heading` is written before what it prints. `child` is the class that runs it.
    One that is not `recorded` is left out of the audit: its arguments may hold a secret.
    """

    program: str
    arguments: tuple[str, ...] = ()
    run_for_s: float | None = None
    heading: str = ""
    capabilities: tuple[Capability, ...] = ()
    child: type[Child] = Child
    stdin: bytes = b""
    recorded: bool = True

    def command_line(self) -> list[str]:
        """Return what is run, the absolute program first; blocks, raises NotRun."""
        return confined(self.program, self.arguments, self.capabilities)

    async def run(self, children: Children, sink: Sink, deadline_s: float) -> Ending:
        """Run it until its end, until `sink` is full, or its deadline (`run_for_s` + `deadline_s`).

        Raises NotRun when the program is not installed, not safe, or an earlier one is stuck,
        OSError when it cannot be started.
        """
        if self.program in children.stuck:
            raise NotRun(f"an earlier {self.program} is stuck in the kernel")
        argv = await asyncio.to_thread(self.command_line)
        if self.heading:
            await sink.write(self.heading.encode(errors="surrogateescape"))
        stderr = bytearray()
        try:
            async with (
                _readable(self.stdin) as stdin,
                self.child.running(
                    self.program, argv, children, stdin, recorded=self.recorded
                ) as child,
            ):
                try:
                    async with asyncio.timeout(deadline_s + (self.run_for_s or 0.0)):
                        held_open = await self._follow(child, sink, stderr)
                except TimeoutError:
                    await child.stop()
                    return self._timeout(child, deadline_s, stderr)
        except FileNotFoundError:
            await self._require_there()
            raise
        if child.exit_code == NOT_FOUND:
            await self._require_there()
        return self._end(child, held_open, stderr)

    async def _require_there(self) -> None:
        """Raise NotRun when what was found earlier has been removed since."""
        await asyncio.to_thread(require_there, *CONFINING, self.program)

    async def _follow(self, child: Child, sink: Sink, stderr: bytearray) -> bool:
        """Take in what the child prints until it is gone; return whether a pipe stayed open."""
        async with asyncio.TaskGroup() as group:
            pumps = [
                group.create_task(_stream(child, sink), name=f"{self.program} stdout"),
                group.create_task(_keep_last(child, stderr), name=f"{self.program} stderr"),
            ]
            if self.run_for_s is not None:
                await self._stop_in_time(child, self.run_for_s)
            await child.over.wait()
            child.signal_group(signal.SIGKILL)
            _, waiting = await asyncio.wait(pumps, timeout=PIPE_GRACE_S)
            for pump in waiting:
                pump.cancel()
        return bool(waiting)

    async def _stop_in_time(self, child: Child, run_for_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(run_for_s):
                await child.over.wait()
        await child.stop()

    def _timeout(self, child: Child, deadline_s: float, stderr: bytearray) -> Ending:
        if child.abandoned:
            return self._abandoned(child, stderr)
        reason = f"{self.program} did not end within {deadline_s:g} s"
        return Ending("timeout", reason, child.exit_code, _text(stderr))

    def _end(self, child: Child, held_open: bool, stderr: bytearray) -> Ending:
        if child.abandoned:
            return self._abandoned(child, stderr)
        state: State = "ok"
        reason = f"{self.program} left its output open behind it" if held_open else ""
        if child.exit_code and not child.stopped:
            state, reason = "failed", f"{self.program} ended with exit code {child.exit_code}"
        return Ending(state, reason, child.exit_code, _text(stderr))

    def _abandoned(self, child: Child, stderr: bytearray) -> Ending:
        reason = f"{self.program} is stuck in the kernel, left behind as pid {child.pid}"
        return Ending("abandoned", reason, None, _text(stderr))


def _text(stderr: bytearray) -> str:
    return stderr.decode(errors="replace")


@asynccontextmanager
async def _readable(data: bytes) -> AsyncIterator[int]:
    """Give a descriptor to read `data` from: of memory, so that nobody waits for a reader."""
    if not data:
        yield asyncio.subprocess.DEVNULL
        return
    fd = os.memfd_create("aod-stdin", os.MFD_CLOEXEC)
    try:
        await asyncio.to_thread(os.pwrite, fd, data, 0)
        yield fd
    finally:
        os.close(fd)


async def _stream(child: Child, sink: Sink) -> None:
    """Write what the child prints, and end it when the sink takes no more."""
    assert child.stdout is not None
    while chunk := await child.stdout.read(CHUNK_BYTES):
        if not await sink.write(chunk):
            await child.stop()
            return


async def _keep_last(child: Child, kept: bytearray) -> None:
    """Keep the end of what the child says to stderr."""
    assert child.stderr is not None
    read_bytes = 0
    while read_bytes < STDERR_READ_BYTES and (chunk := await child.stderr.read(CHUNK_BYTES)):
        read_bytes += len(chunk)
        kept += chunk
        del kept[:-STDERR_KEPT_BYTES]
