"""One child process in a session of its own: started, ended for certain, or left behind.

asyncio's protocol is used in place of its `Process`, whose `wait()` returns only when the pipes
are closed as well (3.11), which a grandchild can prevent for ever.
"""

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import ClassVar, Self

from aod.processes.children import Children
from aod.processes.programs import SEARCH_PATH

log = logging.getLogger(__name__)

ENVIRONMENT = {"PATH": SEARCH_PATH, "LC_ALL": "C"}
PIPE_BUFFER_BYTES = 64 << 10
"""asyncio stops reading a pipe when twice this much waits for us."""


class Child(asyncio.subprocess.SubprocessStreamProtocol):
    """A running child: its pipes are `stdout` and `stderr`, `over` is set when it is gone.

    `stopped` says that we ended it. `over` is set also when it was `abandoned`: SIGKILL was
    sent and the kernel does not let go of it (state D). When it goes after all, it is reaped
    and no longer counts as stuck. The audit gets a record of its end, and of its abandonment,
    unless it is not `recorded`: the record holds its arguments.
    """

    term_grace_s: ClassVar[float] = 2.0
    kill_grace_s: ClassVar[float] = 2.0

    def __init__(
        self, owner: str, argv: Sequence[str], children: Children, *, recorded: bool = True
    ) -> None:
        super().__init__(limit=PIPE_BUFFER_BYTES, loop=asyncio.get_running_loop())
        self.owner = owner
        self.argv = tuple(argv)
        self.pid = 0
        self.exit_code: int | None = None
        self.over = asyncio.Event()
        self.stopped = False
        self.abandoned = False
        self._children = children
        self._recorded = recorded
        self._started_s = time.monotonic()
        self._mark = ExitStack()
        self._process: asyncio.SubprocessTransport | None = None

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        owner: str,
        argv: Sequence[str],
        children: Children,
        stdin: int = asyncio.subprocess.DEVNULL,
        *,
        recorded: bool = True,
    ) -> AsyncIterator[Self]:
        """Start `argv` (an absolute program first) and make sure that it is gone at the end.

        `stdin` is a descriptor that it reads from. Raises OSError when it cannot be started.
        """
        child = cls(owner, argv, children, recorded=recorded)
        with children.starting():
            transport, _ = await asyncio.get_running_loop().subprocess_exec(
                lambda: child,
                *argv,
                stdin=stdin,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd="/",
                env=ENVIRONMENT,
                start_new_session=True,
                umask=0o077,
            )
        try:
            child._mark.enter_context(children.own.own(child.pid))
            try:
                yield child
            finally:
                await child.stop()
        finally:
            child.signal_group(signal.SIGKILL)  # and what it left running
            transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the pid; called by asyncio when the child was started."""
        super().connection_made(transport)
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._process, self.pid = transport, transport.get_pid()
        self._children.pids.add(self.pid)

    def process_exited(self) -> None:
        """Note the exit code; called by asyncio when the child was reaped."""
        super().process_exited()
        self._children.pids.discard(self.pid)
        self.exit_code = self._process.get_returncode() if self._process else None
        if self.abandoned:
            self._children.stuck.remove(self.owner)
            log.info("stuck child is gone program=%s pid=%d", self.owner, self.pid)
        self.over.set()
        self._record()
        self._mark.close()

    async def stop(self) -> None:
        """End the group: SIGTERM, two seconds, SIGKILL, two seconds, then leave it behind."""
        steps = ((signal.SIGTERM, self.term_grace_s), (signal.SIGKILL, self.kill_grace_s))
        for number, grace_s in steps:
            if self.over.is_set():
                return
            self.stopped = True
            self.signal_group(number)
            with suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self.over.wait()
        if not self.over.is_set():
            self._abandon()

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the child and all that it started in its group."""
        # A group's number is not given to another while one of it lives, so this is safe after
        # the child was reaped.
        if self.pid:  # group 0 would be our own
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def _abandon(self) -> None:
        self.abandoned = True
        self._children.stuck.add(self.owner)
        log.warning("child is stuck in the kernel program=%s pid=%d", self.owner, self.pid)
        self.over.set()
        self._record()

    def _record(self) -> None:
        if not self._recorded:
            return
        self._children.audit.record(
            "child",
            argv=list(self.argv),
            pid=self.pid,
            exit_code=self.exit_code,
            duration_s=time.monotonic() - self._started_s,
        )
