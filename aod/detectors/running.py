"""Which detectors run: each as a component, until it has judged all that it was handed."""

import asyncio
from collections.abc import Iterable

from aod.detectors.detection import Detection
from aod.runtime.supervisor import Component, Supervisor


class RunningDetectors:
    """Starts detectors, and waits for their end."""

    def __init__(self, supervisor: Supervisor, detection: Detection) -> None:
        self._supervisor = supervisor
        self._detection = detection
        self._running: set[asyncio.Task[None]] = set()

    def start(self, components: Iterable[Component]) -> None:
        """Run detectors beside those that run."""
        for component in components:
            task = self._supervisor.start(component)
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def finish(self) -> None:
        """Have each judge what it was handed, and wait for it."""
        self._detection.close()
        if self._running:
            await asyncio.wait(self._running)
