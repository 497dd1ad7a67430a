"""Keeps the journal from before the anomaly on."""

import asyncio
from pathlib import Path

from aod.actions.action import Context, Result, Skip
from aod.actions.output import Output
from aod.actions.program import run
from aod.host.capabilities import Capability
from aod.processes.command import Command

FOLDERS = ("var/log/journal", "run/log/journal")


class Journalctl:
    """Prints the journal from `lookback_s` before the anomaly on."""

    name = "journalctl"
    file_name = "journalctl.txt"
    program = "journalctl"
    capabilities: tuple[Capability, ...] = ()  # the journal's files are root's

    def __init__(self, program: str = program, root: Path = Path("/")) -> None:
        self._program = program
        self._folders = [root / folder for folder in FOLDERS]

    async def collect(self, context: Context, output: Output) -> Result:
        """Run journalctl; raises Skip where no journal is kept."""
        if not await asyncio.to_thread(self._is_kept):
            raise Skip("no journal is kept here")
        since_s = context.span.raised_wall_ns / 1e9 - context.span.lookback_s
        arguments = ("--since", f"@{since_s:.0f}", "-o", "short-iso-precise")
        command = Command(
            self._program,
            (*arguments, "--no-pager", "--quiet"),
            capabilities=self.capabilities,
        )
        return await run(command, context, output)

    def _is_kept(self) -> bool:
        # journalctl itself exits with 0 and prints nothing when there is no journal.
        return any(folder.is_dir() and any(folder.iterdir()) for folder in self._folders)
