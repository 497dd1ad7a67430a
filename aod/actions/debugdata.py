"""Keeps /proc/fs/cifs/DebugData: connections, sessions, requests in flight."""

from pathlib import Path

from aod.actions.action import Context, Result
from aod.actions.file import copy
from aod.actions.output import Output


class DebugData:
    """Copies the file; the kernel answers from memory, no share is touched."""

    name = "debugdata"
    file_name = "debugdata.txt"

    def __init__(self, root: Path = Path("/")) -> None:
        self._path = root / "proc/fs/cifs/DebugData"

    async def collect(self, context: Context, output: Output) -> Result:
        """Copy it; raises Skip without cifs."""
        return await copy(self._path, context, output, absent="cifs is not loaded")
