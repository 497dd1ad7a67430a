"""The output directory that nothing but a new start brings back."""

import asyncio

from aod.bundle import OutputDirectory
from aod.errors import SurroundingsError
from aod.host.directories import is_made_at_start
from aod.runtime.supervisor import Pulse


class OutputWatch:
    """Fails when the directory was taken away and systemd alone can make it; a component."""

    def __init__(self, output: OutputDirectory) -> None:
        self._output = output

    async def run(self, _: Pulse) -> None:
        """Wait for it; raises SurroundingsError with what to do."""
        if not is_made_at_start(self._output.path):
            return
        await asyncio.shield(asyncio.wrap_future(self._output.cut_off))
        raise SurroundingsError(self._output.complaint)

    def is_hopeless(self, error: Exception) -> bool:
        """Tell whether no other start of this component mends a failure."""
        return isinstance(error, SurroundingsError)
