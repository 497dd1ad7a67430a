"""Counters of shares that are gone leave the kernel before its map is full."""

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Protocol

from aod.activity.samples import Key, Sample
from aod.activity.totals import Operations
from aod.activity.usual import IdleCounters
from aod.runtime.supervisor import Pulse

log = logging.getLogger(__name__)

PAUSE_S = 600.0
"""Idle time after which a counter may go."""


class Counters(Protocol):
    """The tracer, as far as its counters go."""

    def drop_counters(
        self, choose: Callable[[Sample], Collection[Key]]
    ) -> tuple[Sample, Collection[Key]]:
        """Take out the counters that `choose` names of a sample; return both. Blocks."""


class CounterRoom:
    """Makes room in the kernel's map of counters, which has `capacity` entries; a component."""

    def __init__(self, tracer: Counters, operations: Operations, capacity: int) -> None:
        self._tracer = tracer
        self._operations = operations
        self._idle = IdleCounters(capacity * 3 // 4)

    async def run(self, pulse: Pulse) -> None:
        """Look once in a while, until cancelled; what is dropped is added up before."""
        while True:
            await asyncio.sleep(PAUSE_S)
            with pulse.busy():
                sample, dropped = await asyncio.to_thread(
                    self._tracer.drop_counters, self._idle.find
                )
                await asyncio.to_thread(self._operations.add, sample, dropped)
            if dropped:
                log.info("idle counters dropped count=%d of=%d", len(dropped), len(sample.counters))
