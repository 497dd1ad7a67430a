"""Asks each share's server about the mount's root: the one action that touches the share."""

import asyncio
from pathlib import Path

from aod.actions.action import Context, Result, Skip, combined
from aod.actions.file import read_text
from aod.actions.output import Output
from aod.actions.program import run
from aod.host.capabilities import Capability
from aod.host.mounts import MOUNTINFO, Mount, cifs_mounts, parse
from aod.processes.command import Command

QUERIES = ("fileallinfo", "filefsfullsizeinfo")  # never keys: they decrypt the traffic
MAX_MOUNTS = 8


class Smbinfo:
    """Runs smbinfo's QUERIES on the root of each share; a child of ours opens it, never we.

    All of them share `timeout_s`: each may take an equal part of what is left.
    """

    name = "smbinfo"
    file_name = "smbinfo.txt"
    program = "smbinfo"
    capabilities = (Capability.DAC_READ_SEARCH,)  # a mount's root may be closed to root (uid=)

    def __init__(self, program: str = program, root: Path = Path("/")) -> None:
        self._program = program
        self._mountinfo = root / MOUNTINFO

    async def collect(self, context: Context, output: Output) -> Result:
        """Ask about every share that nothing speaks against; raises Skip when none is left."""
        mounts = _one_per_share(await read_text(self._mountinfo, context))
        if not mounts:
            raise Skip("no SMB share is mounted")
        queries = [(mount, query) for mount in mounts[:MAX_MOUNTS] for query in QUERIES]
        time_s = asyncio.get_running_loop().time
        until_s = time_s() + context.span.timeout_s
        ends = []
        for left, (mount, query) in zip(range(len(queries), 0, -1), queries, strict=True):
            part_s = (until_s - time_s()) / left
            ends.append(await self._ask(mount, query, part_s, context, output))
        if left_out := len(mounts[MAX_MOUNTS:]):
            ends.append(Result("skipped", f"{left_out} more shares were left out"))
        summary = combined(ends)
        if summary.state == "skipped":
            raise Skip(summary.reason)
        return summary

    async def _ask(
        self, mount: Mount, query: str, timeout_s: float, context: Context, output: Output
    ) -> Result:
        if reason := await asyncio.to_thread(context.guard.objection, mount.server):
            return Result("skipped", f"{mount.source}: {reason}")
        if timeout_s <= 0:
            return Result("timeout", f"{mount.source}: no time was left")
        heading = f"# smbinfo {query} {mount.mount_point} ({mount.source})\n"
        command = Command(
            self._program,
            (query, str(mount.mount_point)),
            heading=heading,
            capabilities=self.capabilities,
        )
        try:
            return await run(command, context, output, timeout_s)
        except Skip as skip:
            return Result("skipped", str(skip))


def _one_per_share(mountinfo_text: str) -> list[Mount]:
    """Return a mount of each superblock: bind mounts (as of pods) are the same share."""
    mounts = cifs_mounts(parse(mountinfo_text))
    return list({mount.device: mount for mount in reversed(mounts)}.values())[::-1]
