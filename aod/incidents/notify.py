"""Notifies a program of the user's choice how each incident ended, one at a time."""

import json
import logging
import time
from asyncio import to_thread
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aod.config.program import objection
from aod.incidents.notices import Notice
from aod.processes.children import Audit, Children
from aod.processes.command import STDERR_KEPT_BYTES, Command, Ending
from aod.processes.programs import NotRun, find
from aod.runtime.queue import Queue

log = logging.getLogger(__name__)

MAX_WAITING = 16
"""Notices that may wait while a program runs: at 10 s each the last is sent within 3 minutes."""
DEADLINE_S = 10.0


@dataclass(frozen=True, slots=True)
class Unconfined(Command):
    """A command of the user's: it has all capabilities of the service, unlike those of actions."""

    def command_line(self) -> list[str]:
        """Return what is run; it dies with aod."""
        return [find("setpriv"), "--pdeathsig", "KILL", "--", self.program, *self.arguments]


class Notify:
    """Runs `command` once for each notice, with its JSON on stdin and a deadline.

    `command` is the program and its arguments, empty for none; it may be set at any time. What
    a program does wrong is logged and counted in `failed`; what was never sent, in `dropped`.
    """

    def __init__(self, command: Sequence[str], children: Children, audit: Audit) -> None:
        self.command = tuple(command)
        self.failed = 0
        self.deadline_s = DEADLINE_S
        self._children = children
        self._audit = audit
        self._waiting = Queue[Notice](MAX_WAITING)

    @property
    def dropped(self) -> int:
        """Notices that no program was given: too many waited, or aod ended."""
        return self._waiting.dropped

    def send(self, notice: Notice) -> None:
        """Take a notice to send; never waits."""
        if not self.command:
            return
        before = self.dropped
        self._waiting.send(notice)
        if self.dropped > before:
            log.warning("notify.command is behind, a notice was dropped dropped=%d", self.dropped)

    async def run(self) -> None:
        """Run the command for what comes until closed; one that runs then is run to its end."""
        async for notice in self._waiting:
            if self.command:
                await self._run_command(notice, self.command)

    def close(self) -> None:
        """Take nothing more, and drop what waits."""
        if waiting := self._waiting.waiting:
            self._waiting.clear()
            log.warning("notices not told, aod ends: count=%d", waiting)
        self._waiting.close()

    async def _run_command(self, notice: Notice, command: Sequence[str]) -> None:
        program, *arguments = command
        said, started_s = Tail(), time.monotonic()
        ending: Ending | None = None
        try:
            ending = await self._run(program, arguments, notice, said)
        finally:
            # Its arguments may hold a secret, such as the address of a webhook.
            self._audit.record(
                "notify",
                program=program,
                arguments=len(arguments),
                bundle=notice.bundle,
                outcome=notice.outcome,
                state=ending.state if ending else "cancelled",
                exit_code=ending.exit_code if ending else None,
                duration_s=time.monotonic() - started_s,
            )
        if ending.state != "ok":
            self.failed += 1
            log.warning(
                "notify.command failed failed=%d bundle=%s: %s; it said: %s",
                self.failed,
                notice.bundle or "none",
                ending.reason,
                (said.text + ending.stderr).strip() or "nothing",
            )

    async def _run(
        self, program: str, arguments: Sequence[str], notice: Notice, said: "Tail"
    ) -> Ending:
        # Once more, as it may have changed since the config was read.
        if reason := await to_thread(objection, Path(program)):
            return Ending("failed", f"{program} is not run: {reason}")
        stdin = json.dumps(notice.as_dict()).encode() + b"\n"
        command = Unconfined(program, tuple(arguments), stdin=stdin, recorded=False)
        try:
            return await command.run(self._children, said, self.deadline_s)
        except NotRun as reason:
            return Ending("failed", str(reason))
        except OSError as error:
            return Ending("failed", f"{program} cannot be started: {error.strerror}")


class Tail:
    """Keeps the end of what a program prints."""

    def __init__(self) -> None:
        self._kept = b""

    @property
    def text(self) -> str:
        """What was kept, as text."""
        return self._kept.decode(errors="replace")

    async def write(self, data: bytes) -> bool:
        """Take more; the beginning gives way."""
        self._kept = (self._kept + data)[-STDERR_KEPT_BYTES:]
        return True
