"""Keeps /proc/fs/cifs/open_files: which file id is which path."""

import asyncio
from pathlib import Path

from aod.actions.action import Context, Result
from aod.actions.file import copy
from aod.actions.output import Output


class OpenFiles:
    """Copies the file; the kernel answers from memory, no share is touched."""

    name = "open_files"
    file_name = "open_files.txt"

    def __init__(self, root: Path = Path("/")) -> None:
        self._folder = root / "proc/fs/cifs"

    async def collect(self, context: Context, output: Output) -> Result:
        """Copy it; raises Skip without cifs, or where the kernel has no such file."""
        loaded = await asyncio.to_thread(self._folder.is_dir)
        absent = "this kernel has no open_files" if loaded else "cifs is not loaded"
        return await copy(self._folder / "open_files", context, output, absent)
