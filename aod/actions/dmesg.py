"""Keeps the kernel's log."""

from aod.actions.action import Context, Outcome
from aod.actions.command import Command
from aod.actions.output import Output


class Dmesg:
    """Prints the whole kernel buffer with facility, level and wall time."""

    name = "dmesg"
    file_name = "dmesg.txt"

    def __init__(self, program: str = "dmesg") -> None:
        self._command = Command(program, ("--time-format", "iso", "--decode"))

    async def collect(self, context: Context, output: Output) -> Outcome:
        """Run dmesg."""
        return await self._command.run(context, output)
