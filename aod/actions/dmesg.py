"""Keeps the kernel's log."""

from aod.actions.action import Context, Result
from aod.actions.output import Output
from aod.actions.program import run
from aod.host.capabilities import Capability
from aod.processes.command import Command


class Dmesg:
    """Prints the whole kernel buffer with facility, level and wall time."""

    name = "dmesg"
    file_name = "dmesg.txt"
    program = "dmesg"
    capabilities = (Capability.SYSLOG,)  # where kernel.dmesg_restrict is set

    def __init__(self, program: str = program) -> None:
        arguments = ("--time-format", "iso", "--decode")
        self._command = Command(program, arguments, capabilities=self.capabilities)

    async def collect(self, context: Context, output: Output) -> Result:
        """Run dmesg."""
        return await run(self._command, context, output)
