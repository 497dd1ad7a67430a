"""A tracer for as long as cifs is there, and again when it comes back."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, aclosing, contextmanager, nullcontext
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from aod.activity.samples import Key, Sample
from aod.activity.usual import usual_latency_ns
from aod.errors import TracerError
from aod.events import COUNTER, COUNTER_KEY, REQUEST, REQUEST_KEY, WAIT, Events
from aod.smb import module
from aod.smb.filter import Filter
from aod.smb.module import Module
from aod.tracer import probing
from aod.tracer.ladder import climb
from aod.tracer.ledger import Ledger, TracerState, ledger_of
from aod.tracer.libbpf import libbpf_version
from aod.tracer.own import OwnProcesses
from aod.tracer.probing import Attached
from aod.tracer.program import Tracer
from aod.tracer.sampling import sample

log = logging.getLogger(__name__)

Climb = Callable[[Filter, OwnProcesses], Tracer]


class Follower:
    """Loads a tracer when cifs comes, and takes it out when cifs goes.

    Kprobes die in silence when the module is unloaded; tracepoints do not let it go: they are
    taken out once nobody else uses it. What is counted goes on over the loads. All methods
    but `run` block for up to a second and may be called from any thread.
    """

    def __init__(self, wanted: Filter, climb: Climb = climb) -> None:
        self.own = OwnProcesses()
        self.on_unload: Callable[[Sample], None] | None = None
        """Called in a thread with the last sample of each load of cifs."""
        self._wanted = wanted
        self._climb = climb
        self._lock = threading.Lock()
        self._tracer: Tracer | None = None
        self._module: Module | None = None
        self._past = Ledger()
        self._unanswered = 0
        self._loads = 0

    async def run(
        self,
        interval_s: Callable[[], float],
        on_events: Callable[[Events], None],
        on_change: Callable[[Tracer | None], None],
        busy: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Follow cifs until cancelled; the tracer stays loaded then, for `finish`.

        `on_change` is called with the tracer when one was attached, and with None when cifs
        is not there. Raises TracerError when the probes cannot be attached. Called again after
        a failure it begins anew, with probes of its own. `busy` is entered for each step.
        """
        if self._tracer:
            await asyncio.to_thread(self._fold)
        async with aclosing(module.changes(interval_s)) as modules, asyncio.TaskGroup() as group:
            ring: asyncio.Task[None] | None = None
            is_first = True
            async for found in modules:
                with busy():
                    if self._tracer and self._is_another(found):
                        if ring:
                            ring.cancel()
                        await self._unload(on_events)
                        log.warning("cifs was unloaded")
                        on_change(None)
                    if not self._tracer and found and await self._load(found):
                        assert self._tracer
                        on_change(self._tracer)
                        ring = group.create_task(self._tracer.ring.watch(on_events), name="ring")
                    elif not self._tracer and is_first:
                        on_change(None)
                    elif self._tracer and found:
                        await asyncio.to_thread(self._let_go, found)
                    is_first = False

    async def finish(self, on_events: Callable[[Events], None]) -> None:
        """Take the probes out and hand over what is left in the ring; maps can still be read."""
        if self._tracer:
            await asyncio.to_thread(self._tracer.detach)
            await self._drain(self._tracer, on_events)

    def set_filter(self, wanted: Filter) -> None:
        """Have other operations sent from now on; no probe is taken out for it."""
        with self._using() as tracer:
            self._wanted = wanted
            if tracer:
                tracer.set_filter(wanted)

    def close(self) -> None:
        """Take everything out of the kernel."""
        with self._lock:
            if self._tracer:
                self._tracer.close()
            self._tracer = None

    @property
    def wanted(self) -> Filter:
        """What is sent now."""
        return self._wanted

    @property
    def tracer(self) -> Tracer | None:
        """The tracer that is attached now."""
        return self._tracer

    def ledger(self) -> Ledger:
        """Return the books since the start, all loads of cifs together."""
        with self._using() as tracer:
            return self._past + self._present(tracer) if tracer else self._past

    @property
    def libbpf(self) -> str:
        """The version of libbpf."""
        return libbpf_version()

    def describe(self) -> TracerState:
        """Return what goes on: the rung, what is missing on it, and the ledger."""
        with self._using() as tracer:
            rung = tracer.rung.number if tracer else None
            missing = dict(tracer.missing) if tracer else {}
            refusals = tuple(tracer.refusals) if tracer else ()
        return TracerState(rung, missing, refusals, self.ledger())

    def describe_probes(self) -> Attached | None:
        """Return which probes are attached, None without cifs."""
        with self._using() as tracer:
            return probing.describe(tracer) if tracer else None

    def open_requests(self) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Return what is sent and unanswered, as Tracer does."""
        with self._using() as tracer:
            if tracer:
                return tracer.open_requests()
        return np.empty(0, REQUEST_KEY), np.empty(0, REQUEST)

    def threads(self) -> tuple[NDArray[np.uint32], NDArray[np.void]]:
        """Return who has called cifs of late, as Tracer does."""
        with self._using() as tracer:
            if tracer:
                return tracer.threads()
        return np.empty(0, np.uint32), np.empty(0, WAIT)

    def counters(self) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Return what was counted since cifs was loaded, as Tracer does."""
        with self._using() as tracer:
            if tracer:
                return tracer.counters()
        return np.empty(0, COUNTER_KEY), np.empty(0, COUNTER)

    def usual_latency_ns(self, events: Events) -> int:
        """Return the median latency of other operations like these, 0 where it is not known."""
        return usual_latency_ns(*self.counters(), events)

    def sample(self) -> Sample:
        """Return the counters of this load of cifs, none of them while it is not loaded."""
        with self._using() as tracer:
            if tracer:
                return replace(sample(tracer), load=self._loads)
            return Sample(time.monotonic_ns(), {}, {}, self._loads)

    def drop_counters(
        self, choose: Callable[[Sample, int], Collection[Key]]
    ) -> tuple[Sample, Collection[Key]]:
        """Take out the counters that `choose` names of a sample; return both.

        `choose` is told as well how many counters there is room for.
        """
        with self._using() as tracer:
            if not tracer:
                return Sample(time.monotonic_ns(), {}, {}, self._loads), ()
            taken = replace(sample(tracer), load=self._loads)
            dropped = choose(taken, tracer.counter_capacity)
            tracer.drop_counters(dropped)
            return taken, dropped

    def forget(self, connection_id: int, message_id: int) -> bool:
        """Take a request out of what is open, as unanswered; return whether it was there."""
        with self._using() as tracer:
            if not tracer or not tracer.forget(connection_id, message_id):
                return False
            self._unanswered += 1
            return True

    @contextmanager
    def _using(self) -> Iterator[Tracer | None]:
        with self._lock:
            yield self._tracer

    def _present(self, tracer: Tracer) -> Ledger:
        still_open = tracer.open_requests()[0].size
        return ledger_of(tracer.counts(), self._unanswered, still_open, tracer.skipped())

    def _is_another(self, found: Module | None) -> bool:
        return not found or not self._module or found.identity != self._module.identity

    async def _load(self, found: Module) -> bool:
        wanted = self._wanted
        try:
            tracer = await asyncio.to_thread(self._climb, wanted, self.own)
        except TracerError:
            if await asyncio.to_thread(module.look) == found:
                raise
            return False  # cifs went while its types were looked up
        await asyncio.to_thread(self._take, tracer, found, wanted)
        return True

    def _take(self, tracer: Tracer, found: Module, wanted: Filter) -> None:
        with self._lock:
            if self._wanted is not wanted:  # changed while it was loaded
                tracer.set_filter(self._wanted)
            self._tracer, self._module = tracer, found
            self._loads += 1

    async def _unload(self, on_events: Callable[[Events], None]) -> None:
        tracer = self._tracer
        assert tracer
        await self._drain(tracer, on_events)
        await asyncio.to_thread(self._fold)

    def _fold(self) -> None:
        with self._lock:
            assert self._tracer
            ended = self._present(self._tracer)
            if self.on_unload:
                self.on_unload(replace(sample(self._tracer), in_flight={}, load=self._loads))
            # With cifs went its connections: nothing can be answered any more.
            self._past += replace(ended, unanswered=ended.unanswered + ended.open, open=0)
            self._unanswered = 0
            self._tracer.close()
            self._tracer = self._module = None

    @staticmethod
    async def _drain(tracer: Tracer, on_events: Callable[[Events], None]) -> None:
        while (events := tracer.ring.read()).size:
            on_events(events)
            await asyncio.sleep(0)

    def _let_go(self, found: Module) -> None:
        """Unpin the module when only we use it, and pin it again when others do."""
        with self._using() as tracer:
            if not tracer or found.users is None:
                return
            others = found.users - tracer.pins
            if not others and tracer.pins:
                tracer.unpin()
            elif others and not tracer.pins:
                tracer.pin()
