"""Detectors at work: each with a queue of its own, replaced while events go on coming."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import NDArray

from aod import detectors
from aod.clock import wall_offset_ns
from aod.config import Config
from aod.config.tree import AnomalySection
from aod.detectors.anomaly import Anomaly
from aod.detectors.detector import Detector, Ticking
from aod.detectors.scope import Scoped, within_scope
from aod.events import Events
from aod.host import threads as tasks
from aod.host.threads import Tasks
from aod.runtime.queue import Channel
from aod.runtime.supervisor import Component, Pulse
from aod.smb.filter import Filter, event_thresholds_ns, union
from aod.smb.names import Names

log = logging.getLogger(__name__)

SECOND_NS = 1_000_000_000
EVENT_BATCHES = 16
"""Batches that may wait for a detector: 16 x 2048 events are 4.7 MB, shared by all."""
LOOK_S = 2.0
"""The stacks of ten threads take 1 ms; a thread in execve can lock its own."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a detector is made from: of equal recipes the detectors are alike."""

    name: str
    section: AnomalySection
    interval_ns: int

    @classmethod
    def from_config(cls, name: str, section: AnomalySection, interval_ns: int) -> Self:
        """Make the recipe, without those keys of the section that no detector knows of."""
        unknown = {"actions": (), "cooldown_sec": None}
        return cls(name, section.model_copy(update=unknown), interval_ns)

    def make(self, names: Names) -> Detector:
        """Return a new detector, held to the scope of its section."""
        section = self.section
        kind = detectors.load(section.type)
        maker = partial(kind.from_config, self.name, section, self.interval_ns)
        return within_scope(maker, section, names)


def recipes(config: Config) -> list[Recipe]:
    """Return what the detectors that the config asks for are made from."""
    interval_ns = int(config.watch_interval_sec * SECOND_NS)
    sections = config.guardian.anomalies.items()
    return [Recipe.from_config(name, section, interval_ns) for name, section in sections]


def make_detectors(config: Config, names: Names) -> list[Detector]:
    """Return the detectors that the config asks for, each held to its scope."""
    return [recipe.make(names) for recipe in recipes(config)]


@dataclass(frozen=True, slots=True)
class Look:
    """All that is open at one moment: events of kind UNANSWERED, shape (n,)."""

    open_requests: Events


class Lane:
    """One detector, what waits for it, and the component that brings both together."""

    def __init__(self, recipe: Recipe, names: Names, tell: Callable[[Anomaly], None]) -> None:
        self.recipe = recipe
        self.detector = recipe.make(names)
        self.queue = Channel[Events | Look](EVENT_BATCHES)
        self.component = Component(f"detector {recipe.name}", self._run)
        self._names = names
        self._tell = tell
        self._has_run = False
        self._name_again_s = 0.0

    async def _run(self, pulse: Pulse) -> None:
        """Judge what comes until the queue is closed; after a failure with a new detector."""
        if self._has_run:
            self.detector = self.recipe.make(self._names)
        self._has_run = True
        async for item in self.queue:
            with pulse.busy():
                await self._judge(item)

    async def _judge(self, item: Events | Look) -> None:
        events = item.open_requests if isinstance(item, Look) else item
        if isinstance(self.detector, Scoped):
            await self._name(events)
        if not isinstance(item, Look):
            anomaly = self.detector.feed(events)
        elif anomaly := self._tick(events):
            anomaly = replace(anomaly, tasks=await waiting_tasks(anomaly))
        if anomaly:
            self._tell(anomaly.stamped(wall_offset_ns()))

    def _tick(self, open_requests: Events) -> Anomaly | None:
        assert isinstance(self.detector, Ticking)
        return self.detector.tick(open_requests)

    async def _name(self, events: Events) -> None:
        """Look up what scopes go by, at most once an interval: an id may stay unknown."""
        now_s = time.monotonic()
        if now_s < self._name_again_s or not self._names.has_unknown_place(events):
            return
        self._name_again_s = now_s + self.recipe.interval_ns / SECOND_NS
        try:
            async with asyncio.timeout(LOOK_S):
                await asyncio.to_thread(self._names.refresh)
        except TimeoutError:
            log.warning("no names within %g s, scopes take in what they do not know", LOOK_S)


class Detection:
    """The detectors of a config; `tell` gets each Anomaly that they find."""

    def __init__(self, config: Config, names: Names, tell: Callable[[Anomaly], None]) -> None:
        self._names = names
        self._tell = tell
        self._dropped = 0
        self.lanes: tuple[Lane, ...] = ()
        self.swap(self.prepare(config))

    @property
    def filter(self) -> Filter:
        """What the kernel has to send."""
        return filter_of(self.lanes)

    @property
    def dropped(self) -> int:
        """How many batches were dropped because a detector was too slow."""
        return self._dropped + sum(lane.queue.dropped for lane in self.lanes)

    def thresholds_ns(self, anomaly: str, events: Events) -> NDArray[np.uint64] | None:
        """Return the latency from which each event counts for an anomaly, shape (n,).

        None for one that no detector raises.
        """
        for lane in self.lanes:
            if lane.recipe.name == anomaly:
                return event_thresholds_ns(lane.detector.filter.thresholds_ns, events)
        return None

    def prepare(self, config: Config) -> tuple[Lane, ...]:
        """Return the lanes for a config; one that would be just alike is the present one."""
        return tuple(self._lane(recipe) for recipe in recipes(config))

    def swap(self, lanes: Sequence[Lane]) -> list[Component]:
        """Put lanes in place of the present ones, and return the components to start.

        The next batch goes to the new ones; the old ones judge what they were handed.
        """
        for lane in self.lanes:
            if lane not in lanes:
                lane.queue.close()
                self._dropped += lane.queue.dropped
        added = [lane.component for lane in lanes if lane not in self.lanes]
        self.lanes = tuple(lanes)
        return added

    def _lane(self, recipe: Recipe) -> Lane:
        for lane in self.lanes:
            if lane.recipe == recipe:
                return lane
        return Lane(recipe, self._names, self._tell)

    def feed(self, events: Events) -> None:
        """Hand a batch to every detector; never waits."""
        for lane in self.lanes:
            lane.queue.send(events)

    def look(self, open_requests: Events) -> None:
        """Hand what is open to the detectors that judge it; never waits."""
        for lane in self.lanes:
            if isinstance(lane.detector, Ticking):
                lane.queue.send(Look(open_requests))

    def close(self) -> None:
        """Say that nothing more will come."""
        for lane in self.lanes:
            lane.queue.close()


def filter_of(lanes: Sequence[Lane]) -> Filter:
    """Return what the kernel has to send for the detectors of some lanes."""
    return union(lane.detector.filter for lane in lanes)


async def waiting_tasks(anomaly: Anomaly) -> Tasks:
    """Look at the threads behind an anomaly's open requests, for no longer than LOOK_S."""
    try:
        async with asyncio.timeout(LOOK_S):
            return await asyncio.to_thread(tasks.waiting_for, anomaly.events)
    except TimeoutError:
        log.warning("the waiting threads could not be looked at within %g s", LOOK_S)
        return {}
