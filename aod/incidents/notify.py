"""Tells a program of the user's choice how each incident ended, one at a time."""

import json
import logging
import time
from asyncio import to_thread
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aod.actions.action import STDERR_KEPT_BYTES, Context, Outcome, Skip
from aod.config.program import objection
from aod.incidents.notices import Notice
from aod.processes.command import Command
from aod.processes.programs import find
from aod.processes.stuck import Stuck
from aod.runtime.queue import Channel

log = logging.getLogger(__name__)

MAX_WAITING = 16
"""Notices that may wait while a program runs: at 10 s each the last is told within 3 minutes."""
DEADLINE_S = 10.0

Record = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Program(Command):
    """A program of the user's: it has all rights of the service, unlike those of actions."""

    def command_line(self) -> list[str]:
        """Return what is run; it dies with aod."""
        return [find("setpriv"), "--pdeathsig", "KILL", "--", self.program, *self.arguments]


class Notify:
    """Runs `command` once for each notice, with its JSON on stdin and a deadline.

    `command` is the program and its arguments, empty for none; it may be set at any time. What
    a program does wrong is logged and counted in `failed`; what was never told, in `dropped`.
    """

    def __init__(
        self, command: Sequence[str], context: Callable[[int], Context], record: Record
    ) -> None:
        self.command = tuple(command)
        self.failed = 0
        self.deadline_s = DEADLINE_S
        self._context = context
        self._record = record
        self._waiting = Channel[Notice](MAX_WAITING)
        self._stuck = Stuck()

    @property
    def dropped(self) -> int:
        """Notices that no program was told of: too many waited, or aod ended."""
        return self._waiting.dropped

    def send(self, notice: Notice) -> None:
        """Take a notice to tell of; never waits."""
        if not self.command:
            return
        before = self.dropped
        self._waiting.send(notice)
        if self.dropped > before:
            log.warning("notify.command is behind, a notice was dropped dropped=%d", self.dropped)

    async def run(self) -> None:
        """Tell of what comes until closed; the one that is told then is told to its end."""
        async for notice in self._waiting:
            if self.command:
                await self._tell(notice, self.command)

    def close(self) -> None:
        """Take nothing more, and drop what waits."""
        if waiting := self._waiting.waiting:
            self._waiting.clear()
            log.warning("notices not told, aod ends: count=%d", waiting)
        self._waiting.close()

    async def _tell(self, notice: Notice, command: Sequence[str]) -> None:
        program, *arguments = command
        said, started_s = Tail(), time.monotonic()
        outcome = Outcome("cancelled", "aod ended while it ran")
        try:
            outcome = await self._run(program, arguments, notice, said)
        finally:
            # Its arguments may hold a secret, such as the address of a webhook.
            self._record(
                "notify",
                program=program,
                arguments=len(arguments),
                bundle=notice.bundle,
                outcome=notice.outcome,
                state=outcome.state,
                exit_code=outcome.exit_code,
                duration_s=time.monotonic() - started_s,
            )
        if outcome.state != "ok":
            self.failed += 1
            log.warning(
                "notify.command failed failed=%d bundle=%s: %s; it said: %s",
                self.failed,
                notice.bundle or "none",
                outcome.reason,
                (said.text + outcome.stderr).strip() or "nothing",
            )

    async def _run(
        self, program: str, arguments: Sequence[str], notice: Notice, said: "Tail"
    ) -> Outcome:
        # Once more, as it may have changed since the config was read.
        if reason := await to_thread(objection, Path(program)):
            return Outcome("failed", f"{program} is not run: {reason}")
        context = replace(self._context(time.time_ns()), record=_by_us, stuck=self._stuck)
        stdin = json.dumps(notice.as_dict()).encode() + b"\n"
        try:
            child = Program(program, tuple(arguments), stdin=stdin)
            return await child.run(context, said, self.deadline_s)
        except Skip as skip:
            return Outcome("failed", str(skip))
        except OSError as error:
            return Outcome("failed", f"{program} cannot be started: {error.strerror}")


def _by_us(kind: str, **details: Any) -> None:
    """Leave the record of the child to the notice's own."""


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

    async def write_text(self, text: str) -> bool:
        """Take text."""
        return await self.write(text.encode())
