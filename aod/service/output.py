"""The output directory that nothing but a new start brings back."""

import asyncio

from aod.bundle import OutputDirectory
from aod.errors import HostError
from aod.host.directories import is_made_at_start
from aod.runtime.supervisor import Component, Progress


class OutputWatch:
    """Fails when the directory was taken away and systemd alone can make it; a component."""

    def __init__(self, output: OutputDirectory) -> None:
        self._output = output
        self.component = Component("output directory", self.run, is_hopeless=self._is_hopeless)

    async def run(self, _: Progress) -> None:
        """Wait for it; raises HostError with what to do."""
        if not is_made_at_start(self._output.path):
            return
        await asyncio.shield(asyncio.wrap_future(self._output.cut_off))
        raise HostError(self._output.complaint)

    def _is_hopeless(self, error: Exception) -> bool:
        """Return whether no other start of this component mends a failure."""
        return isinstance(error, HostError)
