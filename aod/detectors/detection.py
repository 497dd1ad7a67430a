"""Detectors at work: each with a queue of its own, replaced while events go on coming."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aod import detectors
from aod.clock import wall_offset_ns
from aod.detectors.anomaly import Anomaly
from aod.detectors.detector import Detector, Ticking
from aod.detectors.scope import Scoped, within_scope
from aod.detectors.section import AnomalySection
from aod.events import Events
from aod.host import threads
from aod.host.threads import Threads
from aod.runtime.queue import Queue
from aod.runtime.supervisor import Component, Progress
from aod.smb.filter import Filter, event_thresholds_ns, union
from aod.smb.names import Names

log = logging.getLogger(__name__)

SECOND_NS = 1_000_000_000
EVENT_BATCHES = 16
"""Batches that may wait for a detector: 16 x 2048 events are 4.7 MB, shared by all."""
LOOKUP_S = 2.0
"""The stacks of ten threads take 1 ms; a thread in execve can lock its own."""

Sections: TypeAlias = Mapping[str, AnomalySection]
"""{name of an anomaly: its section of the config}"""


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """What a detector is made from: of equal specs the detectors are alike."""

    name: str
    section: AnomalySection
    interval_ns: int

    @classmethod
    def from_config(cls, name: str, section: AnomalySection, interval_ns: int) -> Self:
        """Make the spec, without those keys of the section that no detector goes by."""
        unused = {"actions": (), "cooldown_sec": None}
        return cls(name, section.model_copy(update=unused), interval_ns)

    def make(self, names: Names) -> Detector:
        """Return a new detector, held to the scope of its section."""
        section = self.section
        detector = detectors.load(section.type)
        make = partial(detector.from_config, self.name, section, self.interval_ns)
        return within_scope(make, section, names)


def make_specs(sections: Sections, interval_ns: int) -> list[DetectorSpec]:
    """Return what the detectors that the sections ask for are made from."""
    return [
        DetectorSpec.from_config(name, section, interval_ns) for name, section in sections.items()
    ]


def make_detectors(sections: Sections, interval_ns: int, names: Names) -> list[Detector]:
    """Return the detectors that the sections ask for, each held to its scope."""
    return [spec.make(names) for spec in make_specs(sections, interval_ns)]


@dataclass(frozen=True, slots=True)
class Tick:
    """All that is open at one moment: events of kind UNANSWERED or WAITING, shape (n,)."""

    open_requests: Events


class Worker:
    """One detector and the queue that feeds it; `component` runs its loop."""

    def __init__(
        self, spec: DetectorSpec, names: Names, on_anomaly: Callable[[Anomaly], None]
    ) -> None:
        self.spec = spec
        self.detector = spec.make(names)
        self.queue = Queue[Events | Tick](EVENT_BATCHES)
        self.component = Component(f"detector {spec.name}", self._run)
        self._names = names
        self._on_anomaly = on_anomaly
        self._has_run = False
        self._name_again_s = 0.0

    async def _run(self, progress: Progress) -> None:
        """Judge what comes until the queue is closed; after a failure with a new detector."""
        if self._has_run:
            self.detector = self.spec.make(self._names)
        self._has_run = True
        async for item in self.queue:
            with progress.busy():
                await self._judge(item)

    async def _judge(self, item: Events | Tick) -> None:
        events = item.open_requests if isinstance(item, Tick) else item
        if isinstance(self.detector, Scoped):
            await self._look_up_names(events)
        if not isinstance(item, Tick):
            anomaly = self.detector.feed(events)
        elif anomaly := self._tick(events):
            anomaly = replace(anomaly, threads=await waiting_threads(anomaly))
        if anomaly:
            self._on_anomaly(anomaly.stamped(wall_offset_ns()))

    def _tick(self, open_requests: Events) -> Anomaly | None:
        assert isinstance(self.detector, Ticking)
        return self.detector.tick(open_requests)

    async def _look_up_names(self, events: Events) -> None:
        """Look up what scopes go by, at most once an interval: an id may stay unknown."""
        now_s = time.monotonic()
        if now_s < self._name_again_s or not self._names.has_unknown_tree(events):
            return
        self._name_again_s = now_s + self.spec.interval_ns / SECOND_NS
        try:
            async with asyncio.timeout(LOOKUP_S):
                await asyncio.to_thread(self._names.refresh)
        except TimeoutError:
            log.warning("no names within %g s, scopes take in what they do not know", LOOKUP_S)


class Detection:
    """The detectors of a config; `on_anomaly` gets each Anomaly that they find."""

    def __init__(
        self,
        sections: Sections,
        interval_ns: int,
        names: Names,
        on_anomaly: Callable[[Anomaly], None],
    ) -> None:
        self._names = names
        self._on_anomaly = on_anomaly
        self._dropped = 0
        self._workers: tuple[Worker, ...] = ()
        self.swap(self.prepare(sections, interval_ns))

    @property
    def filter(self) -> Filter:
        """What the kernel has to send."""
        return filter_of(self._workers)

    @property
    def components(self) -> list[Component]:
        """The loops of the present detectors."""
        return [worker.component for worker in self._workers]

    @property
    def dropped(self) -> int:
        """How many batches were dropped because a detector was too slow."""
        return self._dropped + sum(worker.queue.dropped for worker in self._workers)

    def thresholds_ns(self, anomaly: str, events: Events) -> NDArray[np.uint64] | None:
        """Return the latency from which each event counts for an anomaly, shape (n,).

        None for one that no detector raises.
        """
        for worker in self._workers:
            if worker.spec.name == anomaly:
                return event_thresholds_ns(worker.detector.filter.thresholds_ns, events)
        return None

    def prepare(self, sections: Sections, interval_ns: int) -> tuple[Worker, ...]:
        """Return the workers for other sections: one that would be just alike is kept."""
        return tuple(self._worker(spec) for spec in make_specs(sections, interval_ns))

    def swap(self, workers: Sequence[Worker]) -> list[Component]:
        """Put workers in place of the present ones, and return the components to start.

        The next batch goes to the new ones; the old ones judge what they were handed.
        """
        for worker in self._workers:
            if worker not in workers:
                worker.queue.close()
                self._dropped += worker.queue.dropped
        added = [worker.component for worker in workers if worker not in self._workers]
        self._workers = tuple(workers)
        return added

    def _worker(self, spec: DetectorSpec) -> Worker:
        for worker in self._workers:
            if worker.spec == spec:
                return worker
        return Worker(spec, self._names, self._on_anomaly)

    def feed(self, events: Events) -> None:
        """Hand a batch to every detector; never waits."""
        for worker in self._workers:
            worker.queue.send(events)

    def tick(self, open_requests: Events) -> None:
        """Hand what is open to the detectors that judge it; never waits."""
        for worker in self._workers:
            if isinstance(worker.detector, Ticking):
                worker.queue.send(Tick(open_requests))

    def close(self) -> None:
        """Say that nothing more will come."""
        for worker in self._workers:
            worker.queue.close()


def filter_of(workers: Sequence[Worker]) -> Filter:
    """Return what the kernel has to send for the detectors of some workers."""
    return union(worker.detector.filter for worker in workers)


async def waiting_threads(anomaly: Anomaly) -> Threads:
    """Look at the threads behind an anomaly's open requests, for no longer than LOOKUP_S."""
    try:
        async with asyncio.timeout(LOOKUP_S):
            return await asyncio.to_thread(threads.waiting_for, anomaly.events)
    except TimeoutError:
        log.warning("the waiting threads could not be looked at within %g s", LOOKUP_S)
        return {}
