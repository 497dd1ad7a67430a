"""Keeps the SMB client's lines of the mount tables."""

from pathlib import Path

from aod.actions.action import Context, Result, Skip
from aod.actions.file import read_text
from aod.actions.output import Output
from aod.host.mounts import CIFS_TYPES

TABLES = ("mounts", "mountinfo")


class Mounts:
    """Filters /proc/self/mounts and mountinfo; no mount point is looked up.

    The options shown there hold a user's name but never a password.
    """

    name = "mounts"
    file_name = "mounts.txt"

    def __init__(self, root: Path = Path("/")) -> None:
        self._folder = root / "proc/self"

    async def collect(self, context: Context, output: Output) -> Result:
        """Write the lines under a heading each; raises Skip when nothing of cifs is mounted."""
        tables = {name: await read_text(self._folder / name, context) for name in TABLES}
        kept = {name: [*filter(_is_cifs, text.splitlines())] for name, text in tables.items()}
        if not any(kept.values()):
            raise Skip("no SMB share is mounted")
        for name, lines in kept.items():
            await output.write_text("\n".join([f"# /proc/self/{name}", *lines, ""]))
        return Result()


def _is_cifs(line: str) -> bool:
    """Whether the line is a cifs mount's, in either table."""
    _, found, after = line.partition(" - ")
    fields = after.split(" ") if found else line.split(" ")[2:]
    return fields[:1] != [] and fields[0] in CIFS_TYPES
