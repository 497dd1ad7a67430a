"""Serves and writes the metrics that the config asks for, and changes with it."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import TypeAlias

from aod.activity.totals import Totals
from aod.bundle.describe import describe_versions
from aod.config.tree import Metrics
from aod.config.values import as_address
from aod.metrics.reading import Readings
from aod.runtime.supervisor import Component, Policy, Supervisor, without_steps
from aod.tracer.libbpf import libbpf_version

Run: TypeAlias = Callable[[], Coroutine[None, None, None]]


class Exposure:
    """The components that expose metrics."""

    def __init__(self, supervisor: Supervisor, readings: Readings, totals: Totals) -> None:
        self.tasks: tuple[asyncio.Task[None], ...] = ()
        self._supervisor = supervisor
        self._readings = readings
        self._totals = totals
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
            self._supervisor.start(Component(name, without_steps(run), Policy.OPTIONAL))
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

        versions = asdict(describe_versions(libbpf_version()))
        exposition = Exposition(self._readings, self._totals, versions)
        found: dict[str, Run] = {}
        if section.listen:
            found["metrics"] = Endpoint(*as_address(section.listen), exposition.render).run
        if section.textfile:
            textfile = Textfile(section.textfile, lambda: exposition.render()[0])
            found["metrics file"] = textfile.run
        return found
