"""Counters of shares that are gone leave the kernel before its map is full."""

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Protocol

from aod.activity.samples import Key, Sample
from aod.activity.totals import Totals
from aod.runtime.supervisor import Progress

log = logging.getLogger(__name__)

PAUSE_S = 600.0
"""Idle time after which a counter may go."""


class IdleCounters:
    """Finds the counters in which nothing was counted since the look before.

    With each mount come about a dozen of them, and none goes by itself: after some hundred mounts
    the map would be full, and what is new not counted.
    """

    def __init__(self) -> None:
        self._before = Sample(0, {}, {})

    def find(self, sample: Sample, capacity: int) -> list[Key]:
        """Return the keys of those that are idle, none while a quarter of the map is free."""
        before, self._before = self._before, sample
        if len(sample.counters) <= capacity * 3 // 4 or before.load != sample.load:
            return []
        busy = sample.since(before).keys() | sample.in_flight.keys()
        return [key for key in sample.counters if key in before.counters and key not in busy]


class Counters(Protocol):
    """The tracer, as far as its counters go."""

    def drop_counters(
        self, choose: Callable[[Sample, int], Collection[Key]]
    ) -> tuple[Sample, Collection[Key]]:
        """Take out the counters that `choose` names of a sample; return both. Blocks.

        `choose` is also given how many counters there is room for.
        """


class CounterEviction:
    """Makes room in the kernel's map of counters; a component."""

    def __init__(self, tracer: Counters, totals: Totals) -> None:
        self._tracer = tracer
        self._totals = totals
        self._idle = IdleCounters()

    async def run(self, progress: Progress) -> None:
        """Look once in a while, until cancelled; what is dropped is added up before."""
        while True:
            await asyncio.sleep(PAUSE_S)
            with progress.busy():
                sample, dropped = await asyncio.to_thread(
                    self._tracer.drop_counters, self._idle.find
                )
                await asyncio.to_thread(self._totals.add, sample, dropped)
            if dropped:
                log.info("idle counters dropped count=%d of=%d", len(dropped), len(sample.counters))
