"""Keeps /proc/pressure: whether tasks waited for CPU, memory or disk at that moment."""

from pathlib import Path

from aod.actions.action import Context, Result, Skip
from aod.actions.file import read_text
from aod.actions.output import Output

KINDS = ("cpu", "io", "memory")


class Pressure:
    """Copies the three files of PSI, each under a heading."""

    name = "pressure"
    file_name = "pressure.txt"

    def __init__(self, root: Path = Path("/")) -> None:
        self._folder = root / "proc/pressure"

    async def collect(self, context: Context, output: Output) -> Result:
        """Copy them; raises Skip where the kernel has none (CONFIG_PSI)."""
        for kind in KINDS:
            try:
                text = await read_text(self._folder / kind, context)
            except FileNotFoundError as error:
                raise Skip("this kernel tells no pressure (CONFIG_PSI, psi=1)") from error
            await output.write_text(f"# {kind}\n{text}")
        return Result()
