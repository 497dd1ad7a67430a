"""A tracer for as long as cifs is there, and again when it comes back."""

import asyncio
import logging
import threading
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, aclosing, nullcontext
from dataclasses import replace
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aod.activity.samples import Key, Sample
from aod.activity.usual import usual_latency_ns
from aod.errors import TracerError
from aod.events import Events
from aod.runtime.interval import Interval
from aod.smb import module
from aod.smb.filter import Filter
from aod.smb.module import Module
from aod.tracer import probe_states
from aod.tracer.absent import AbsentTracer
from aod.tracer.ladder import climb
from aod.tracer.ledger import Ledger, ledger_of
from aod.tracer.libbpf import libbpf_version
from aod.tracer.own import OwnProcesses
from aod.tracer.probe_states import Attached
from aod.tracer.program import Tracer
from aod.tracer.ring import Ring
from aod.tracer.sampling import sample
from aod.tracer.state import Scan, TracerState

log = logging.getLogger(__name__)

Climb: TypeAlias = Callable[[Filter, OwnProcesses], Tracer]
OnEvents: TypeAlias = Callable[[Events], None]


class Totals(Protocol):
    """What goes on counting over the loads of cifs."""

    def add(self, sample: Sample) -> None:
        """Take in the last sample of a load; called in a thread."""


class ModuleWatcher:
    """Loads a tracer when cifs comes, and takes it out when cifs goes.

    Kprobes die in silence when the module is unloaded; tracepoints do not let it go: they are
    taken out once nobody else uses it. What is counted goes on over the loads. All methods
    but `run` block for up to a second and may be called from any thread.
    """

    def __init__(self, wanted: Filter, totals: Totals, climb: Climb = climb) -> None:
        self.own = OwnProcesses()
        self._totals = totals
        self._wanted = wanted
        self._climb = climb
        self._lock = threading.Lock()
        self._absent = AbsentTracer()
        self._current: Tracer | AbsentTracer = self._absent
        self._announced: Tracer | AbsentTracer | None = None
        self._module: Module | None = None
        self._past = Ledger()
        self._unanswered = 0
        self._loads = 0

    async def run(
        self,
        interval: Interval,
        on_events: OnEvents,
        on_change: Callable[[Tracer | None], None],
        busy: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Follow cifs until cancelled; the tracer stays loaded then, for `finish`.

        `on_change` is called with the tracer when one was attached, and with None when cifs
        is not there. Raises TracerError when the probes cannot be attached. Called again after
        a failure it begins anew, with probes of its own. `busy` is entered for each step.
        """
        if self.tracer:
            await asyncio.to_thread(self._fold)
        self._announced = None
        async with aclosing(module.changes(interval)) as modules, asyncio.TaskGroup() as group:
            ring: asyncio.Task[None] | None = None
            async for found in modules:
                with busy():
                    if ring and self._is_gone(found):
                        ring.cancel()
                        ring = None
                        await self._unload(on_events)
                        self._announce(on_change)
                    if ring and found:
                        await asyncio.to_thread(self._let_go, found)
                    elif found and (loaded := await self._load(found)):
                        ring = group.create_task(loaded.watch(on_events), name="ring")
                    self._announce(on_change)

    async def finish(self, on_events: OnEvents) -> None:
        """Take the probes out and hand over what is left in the ring; maps can still be read."""
        await asyncio.to_thread(self._current.detach)
        await self._drain(on_events)

    def set_filter(self, wanted: Filter) -> None:
        """Have other operations sent from now on; no probe is taken out for it."""
        with self._lock:
            self._wanted = wanted
            self._current.set_filter(wanted)

    def close(self) -> None:
        """Take everything out of the kernel."""
        with self._lock:
            self._current.close()
            self._current = self._absent

    @property
    def wanted(self) -> Filter:
        """What is sent now."""
        return self._wanted

    @property
    def tracer(self) -> Tracer | None:
        """The tracer that is attached now."""
        current = self._current
        return None if isinstance(current, AbsentTracer) else current

    def scan(self) -> Scan:
        """Return what is open now, and the ledger beside it."""
        with self._lock:
            counts = self._current.counts()
            keys, requests = self._current.open_requests()
            ledger = ledger_of(counts, self._unanswered, keys.size)
            return Scan(keys, requests, *self._current.threads(), self._past + ledger)

    def ledger(self) -> Ledger:
        """Return the whole ledger since the start, all loads of cifs together."""
        with self._lock:
            return self._past + self._present()

    @property
    def libbpf(self) -> str:
        """The version of libbpf."""
        return libbpf_version()

    def describe(self) -> TracerState:
        """Return the rung, what is missing on it, why none higher holds, and the ledger."""
        with self._lock:
            current = self._current
            rung = current.rung.number if current.rung else None
            ledger = self._past + self._present()
            return TracerState(rung, dict(current.missing), current.refusals, ledger)

    def describe_probes(self) -> Attached | None:
        """Return which probes are attached, None without cifs."""
        with self._lock:
            tracer = self.tracer
            return probe_states.describe(tracer) if tracer else None

    def open_requests(self) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Return what is sent and unanswered, as Tracer does."""
        with self._lock:
            return self._current.open_requests()

    def counters(self) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Return what was counted since cifs was loaded, as Tracer does."""
        with self._lock:
            return self._current.counters()

    def usual_latency_ns(self, events: Events) -> int:
        """Return the median latency of other operations like these, 0 where it is not known."""
        return usual_latency_ns(*self.counters(), events)

    def sample(self) -> Sample:
        """Return the counters of this load of cifs, none of them while it is not loaded."""
        with self._lock:
            return self._sample()

    def drop_counters(
        self, choose: Callable[[Sample, int], Collection[Key]]
    ) -> tuple[Sample, Collection[Key]]:
        """Take out the counters that `choose` names of a sample; return both.

        `choose` is also given how many counters there is room for.
        """
        with self._lock:
            taken = self._sample()
            dropped = choose(taken, self._current.counter_capacity)
            self._current.drop_counters(dropped)
            return taken, dropped

    def forget(self, connection_id: int, message_id: int) -> bool:
        """Take a request out of what is open, as unanswered; return whether it was there."""
        with self._lock:
            was_open = self._current.forget(connection_id, message_id)
            self._unanswered += was_open
            return was_open

    def _present(self) -> Ledger:
        """Return the ledger of this load."""
        counts, (keys, _) = self._current.counts(), self._current.open_requests()
        return ledger_of(counts, self._unanswered, keys.size, self._current.skipped())

    def _sample(self) -> Sample:
        return replace(sample(self._current), load=self._loads)

    def _announce(self, on_change: Callable[[Tracer | None], None]) -> None:
        """Call `on_change` unless what is there now was announced already."""
        if self._announced is not self._current:
            self._announced = self._current
            on_change(self.tracer)

    def _is_gone(self, found: Module | None) -> bool:
        return not found or not self._module or found.identity != self._module.identity

    async def _load(self, found: Module) -> Ring | None:
        wanted = self._wanted
        try:
            tracer = await asyncio.to_thread(self._climb, wanted, self.own)
        except TracerError:
            if await asyncio.to_thread(module.current) == found:
                raise
            return None  # cifs went while its types were looked up
        await asyncio.to_thread(self._take, tracer, found, wanted)
        return tracer.ring

    def _take(self, tracer: Tracer, found: Module, wanted: Filter) -> None:
        with self._lock:
            if self._wanted is not wanted:  # changed while it was loaded
                tracer.set_filter(self._wanted)
            self._current, self._module = tracer, found
            self._loads += 1

    async def _unload(self, on_events: OnEvents) -> None:
        await self._drain(on_events)
        await asyncio.to_thread(self._fold)
        log.warning("cifs was unloaded")

    def _fold(self) -> None:
        """Close the tracer; what it has counted is past."""
        with self._lock:
            ended = self._present()
            self._totals.add(replace(self._sample(), in_flight={}))
            # With cifs went its connections: nothing can be answered any more.
            self._past += replace(ended, unanswered=ended.unanswered + ended.open, open=0)
            self._unanswered = 0
            self._current.close()
            self._current, self._module = self._absent, None

    async def _drain(self, on_events: OnEvents) -> None:
        while (events := self._current.ring.read()).size:
            on_events(events)
            await asyncio.sleep(0)

    def _let_go(self, found: Module) -> None:
        """Unpin the module when only we use it, and pin it again when others do."""
        with self._lock:
            if found.users is None:
                return
            others = found.users - self._current.pins
            if not others and self._current.pins:
                self._current.unpin()
            elif others and not self._current.pins:
                self._current.pin()
