"""Serves and writes the metrics that the config asks for, and changes with it."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, TypeAlias

from aod.activity.totals import Totals
from aod.config.tree import Metrics
from aod.config.values import as_address
from aod.metrics.reading import Reading
from aod.runtime.supervisor import Component, Policy, Pulse

Run: TypeAlias = Callable[[], Coroutine[Any, Any, None]]


class Exposure:
    """The components that expose metrics; `start` runs one, `read` and `versions` block."""

    def __init__(
        self,
        start: Callable[[Component], "asyncio.Task[None]"],
        read: Callable[[], Reading],
        totals: Totals,
        versions: Callable[[], Mapping[str, str]],
    ) -> None:
        self.tasks: tuple[asyncio.Task[None], ...] = ()
        self._start = start
        self._read = read
        self._totals = totals
        self._versions = versions
        self._section = Metrics()

    async def change(self, section: Metrics) -> None:
        """Expose what a section asks for and nothing else; what was given up is tried anew."""
        if section == self._section and not any(task.done() for task in self.tasks):
            return
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)
        wanted = await asyncio.to_thread(self._wanted, section)
        self.tasks = tuple(
            self._start(Component(name, partial(_without_pulse, run), Policy.OPTIONAL))
            for name, run in wanted.items()
        )
        self._section = section

    def _wanted(self, section: Metrics) -> dict[str, Run]:
        """Return what runs until it is cancelled, by name; imports and reads files."""
        if not (section.listen or section.textfile):
            return {}
        from aod.metrics.collector import Exposition
        from aod.metrics.endpoint import Endpoint
        from aod.metrics.textfile import Textfile

        exposition = Exposition(self._read, self._totals, self._versions())
        found: dict[str, Run] = {}
        if section.listen:
            found["metrics"] = Endpoint(*as_address(section.listen), exposition.render).run
        if section.textfile:
            textfile = Textfile(section.textfile, lambda: exposition.render()[0])
            found["metrics file"] = textfile.run
        return found


async def _without_pulse(run: Run, _: Pulse) -> None:
    await run()
