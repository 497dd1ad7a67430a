"""Keeps /proc/fs/cifs/Stats: requests and failures per share."""

from pathlib import Path

from aod.actions.action import Context, Result
from aod.actions.file import copy
from aod.actions.output import Output


class Stats:
    """Copies the file; the kernel answers from memory, no share is touched."""

    name = "stats"
    file_name = "stats.txt"

    def __init__(self, root: Path = Path("/")) -> None:
        self._path = root / "proc/fs/cifs/Stats"

    async def collect(self, context: Context, output: Output) -> Result:
        """Copy it; raises Skip without cifs."""
        return await copy(self._path, context, output, absent="cifs is not loaded")
