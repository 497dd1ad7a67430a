"""The tracer comes and goes with cifs; both are of the test's making."""

import asyncio
import errno
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest

from aod.activity.samples import Key, Sample
from aod.errors import TracerError
from aod.events import COUNTER, COUNTER_KEY, REQUEST, REQUEST_KEY, WAIT, Count, Events, empty
from aod.runtime.interval import Interval
from aod.smb import module
from aod.smb.filter import Filter
from aod.smb.module import Module
from aod.smb.probes import LADDER, Rung
from aod.tracer.ledger import Ledger
from aod.tracer.own import OwnProcesses
from aod.tracer.program import Tracer
from aod.tracer.state import TracerState
from aod.tracer.watcher import ModuleWatcher

WANTED = Filter()


class FakeRing:
    def __init__(self) -> None:
        self.left: list[Events] = []

    async def watch(self, on_events: Callable[[Events], None]) -> None:
        await asyncio.Event().wait()

    def read(self) -> Events:
        return self.left.pop(0) if self.left else empty()


@dataclass
class FakeTracer:
    """A tracer with ten tracepoints, which has seen five requests, one still open."""

    pins: int = 10
    counter_capacity: int = 4096
    rung: Rung = LADDER[0]
    refusals: tuple[str, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)
    dropped: list[Key] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    ring: FakeRing = field(default_factory=FakeRing)

    def unpin(self) -> None:
        self.calls.append("unpin")
        self.pins = 0

    def pin(self) -> None:
        self.calls.append("pin")
        self.pins = 10

    def close(self) -> None:
        self.calls.append("close")

    def detach(self) -> None:
        self.calls.append("detach")

    def skipped(self) -> int:
        self.calls.append("skipped")
        return 3

    def counts(self) -> dict[Count, int]:
        return dict.fromkeys(Count, 0) | {Count.REQUESTS: 5, Count.COMPLETED: 4, Count.PDUS: 4}

    def open_requests(self) -> tuple[Any, Any]:
        return np.zeros(1, REQUEST_KEY), np.zeros(1, REQUEST)

    def threads(self) -> tuple[Any, Any]:
        return np.full(1, 8, np.uint32), np.zeros(1, WAIT)

    def drop_counters(self, keys: Iterable[Key]) -> None:
        self.dropped += keys

    def counters(self) -> tuple[Any, Any]:
        keys, counters = np.zeros(1, COUNTER_KEY), np.zeros(1, COUNTER)
        counters["latency"][0, 10] = 4
        return keys, counters

    def forget(self, connection_id: int, message_id: int) -> bool:
        return message_id == 1


class Totals:
    """Keeps the last sample of each load."""

    def __init__(self) -> None:
        self.added: list[Sample] = []

    def add(self, sample: Sample) -> None:
        self.added.append(sample)


class Kernel:
    """Says what modules there are, one after the other, and keeps the tracers that were made."""

    def __init__(self) -> None:
        self.modules = asyncio.Queue[Module | None]()
        self.now: Module | None = None
        self.tracers: list[FakeTracer] = []
        self.changes = asyncio.Queue[Tracer | None]()
        self.events: list[Events] = []
        self.error: TracerError | None = None
        self.totals = Totals()
        self.watcher = ModuleWatcher(WANTED, self.totals, self.climb)

    def climb(self, wanted: Filter, own: OwnProcesses) -> Tracer:
        if self.error:
            raise self.error
        self.tracers.append(FakeTracer())
        return cast(Tracer, self.tracers[-1])

    async def follow(self) -> None:
        await self.watcher.run(Interval(1.0), self.events.append, self.changes.put_nowait)

    async def look(self, found: Module | None) -> None:
        """Let it see this, and return when it has done what follows from it."""
        self.now = found
        self.modules.put_nowait(found)
        await self.modules.join()


@pytest.fixture
async def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()

    async def changes(interval: Interval) -> AsyncIterator[Module | None]:
        while True:
            yield await made.modules.get()
            made.modules.task_done()

    monkeypatch.setattr(module, "changes", changes)
    monkeypatch.setattr(module, "current", lambda: made.now)
    return made


@asynccontextmanager
async def following(kernel: Kernel) -> AsyncIterator[None]:
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(kernel.follow())
        yield
        task.cancel()


async def test_without_cifs_it_says_so_and_waits(kernel: Kernel) -> None:
    async with following(kernel):
        await kernel.look(None)
        await kernel.look(None)

        assert kernel.changes.get_nowait() is None
        assert kernel.changes.empty()
        assert kernel.watcher.open_requests()[0].size == 0


async def test_without_cifs_nothing_is_open_counted_or_dropped(kernel: Kernel) -> None:
    watcher = kernel.watcher

    scan = watcher.scan()
    _, dropped = watcher.drop_counters(lambda sample, capacity: list(sample.counters))

    assert scan.keys.size == scan.requests.size == scan.threads.size == scan.waits.size == 0
    assert scan.ledger == watcher.ledger() == Ledger()
    assert watcher.describe() == TracerState()
    assert watcher.describe_probes() is None
    assert (watcher.counters()[0].size, dropped, watcher.forget(1, 1)) == (0, [], False)


async def test_a_scan_has_what_is_open_and_the_ledger_of_that_moment(kernel: Kernel) -> None:
    async with following(kernel):
        await kernel.look(Module(1, 12))

        scan = await asyncio.to_thread(kernel.watcher.scan)

        assert (scan.keys.size, scan.requests.size) == (1, 1)
        assert (scan.threads.tolist(), scan.waits.size) == ([8], 1)
        assert (scan.ledger.requests, scan.ledger.open, scan.ledger.is_closed) == (5, 1, True)


async def test_only_the_whole_ledger_asks_how_often_each_program_was_skipped(
    kernel: Kernel,
) -> None:
    async with following(kernel):
        await kernel.look(Module(1, 12))

        scan = await asyncio.to_thread(kernel.watcher.scan)
        assert (scan.ledger.skipped, kernel.tracers[0].calls) == (0, [])

        assert (await asyncio.to_thread(kernel.watcher.ledger)).skipped == 3


async def test_who_drops_counters_is_told_how_many_there_is_room_for(kernel: Kernel) -> None:
    async with following(kernel):
        await kernel.look(Module(1, 12))

        _, dropped = kernel.watcher.drop_counters(lambda sample, capacity: [(0, 0, capacity)])

        assert (dropped, kernel.tracers[0].dropped) == ([(0, 0, 4096)], [(0, 0, 4096)])


async def test_the_tracer_is_described_with_its_rung_and_its_ledger(kernel: Kernel) -> None:
    async with following(kernel):
        await kernel.look(Module(1, 12))
        kernel.tracers[0].missing["smb3_tcon"] = "no such tracepoint"

        state = await asyncio.to_thread(kernel.watcher.describe)

        assert (state.rung, state.missing) == (1, {"smb3_tcon": "no such tracepoint"})
        assert (state.ledger.requests, state.ledger.skipped) == (5, 3)


async def test_it_attaches_when_cifs_comes(kernel: Kernel) -> None:
    async with following(kernel):
        await kernel.look(None)
        await kernel.look(Module(1, 0))

        assert kernel.watcher.tracer is kernel.tracers[0]  # type: ignore[comparison-overlap]


async def test_another_load_of_cifs_gets_another_tracer(kernel: Kernel) -> None:
    async with following(kernel):
        await kernel.look(Module(1, 12))
        kernel.tracers[0].ring.left = [empty(2)]
        await kernel.look(Module(2, 12))

        assert kernel.tracers[0].calls == ["skipped", "close"]
        assert len(kernel.tracers) == 2
        assert [kernel.changes.get_nowait() is None for _ in range(3)] == [False, True, False]
        assert [events.size for events in kernel.events] == [2]


async def test_the_books_go_on_and_what_was_open_is_unanswered(kernel: Kernel) -> None:
    async with following(kernel):
        await kernel.look(Module(1, 12))
        assert kernel.watcher.ledger().open == 1
        await kernel.look(None)

        ledger = kernel.watcher.ledger()
        assert (ledger.requests, ledger.completed) == (5, 4)
        assert (ledger.open, ledger.unanswered, ledger.is_closed) == (0, 1, True)


async def test_the_module_is_let_go_when_only_we_use_it(kernel: Kernel) -> None:
    async with following(kernel):
        await kernel.look(Module(1, 12))
        await kernel.look(Module(1, 11))
        assert kernel.tracers[0].calls == []
        await kernel.look(Module(1, 10))
        assert kernel.tracers[0].calls == ["unpin"]
        await kernel.look(Module(1, 0))
        assert kernel.tracers[0].calls == ["unpin"]
        await kernel.look(Module(1, 1))

        assert kernel.tracers[0].calls == ["unpin", "pin"]


async def test_a_built_in_cifs_is_not_let_go(kernel: Kernel) -> None:
    async with following(kernel):
        await kernel.look(Module(0, None))
        await kernel.look(Module(0, None))

        assert kernel.tracers[0].calls == []


async def test_probes_that_cannot_be_attached_end_it(kernel: Kernel) -> None:
    kernel.error = TracerError("attaching failed", errno.EINVAL)

    kernel.now = Module(1, 12)
    kernel.modules.put_nowait(kernel.now)

    with pytest.raises(BaseExceptionGroup) as raised:
        await kernel.follow()

    assert raised.group_contains(TracerError, match="attaching failed")


async def test_a_module_that_goes_while_it_is_looked_up_is_waited_for(kernel: Kernel) -> None:
    kernel.error = TracerError("attaching failed", errno.ENOENT)
    async with following(kernel):
        kernel.modules.put_nowait(Module(1, 12))
        await kernel.modules.join()
        kernel.error = None
        await kernel.look(Module(2, 12))

        assert len(kernel.tracers) == 1


async def test_a_request_that_was_forgotten_is_unanswered_once(kernel: Kernel) -> None:
    async with following(kernel):
        await kernel.look(Module(1, 12))

        assert kernel.watcher.forget(1, 1)
        assert not kernel.watcher.forget(1, 2)
        assert kernel.watcher.ledger().unanswered == 1


async def test_at_its_end_what_is_in_the_ring_is_handed_over(kernel: Kernel) -> None:
    async with following(kernel):
        await kernel.look(Module(1, 12))
    kernel.tracers[0].ring.left = [empty(2), empty(1)]

    await kernel.watcher.finish(kernel.events.append)
    kernel.watcher.close()

    assert [events.size for events in kernel.events] == [2, 1]
    assert kernel.tracers[0].calls == ["detach", "close"]


async def test_the_counters_of_each_load_are_told_apart_and_handed_over_at_its_end(
    kernel: Kernel,
) -> None:
    async with following(kernel):
        await kernel.look(Module(1, 0))
        await kernel.look(None)
        without = await asyncio.to_thread(kernel.watcher.sample)
        await kernel.look(Module(2, 0))
        again = await asyncio.to_thread(kernel.watcher.sample)

    added = kernel.totals.added
    assert [(each.load, each.counters[0, 0, 0].requests) for each in added] == [(1, 4)]
    assert (without.load, without.counters, added[0].in_flight) == (1, {}, {})
    assert (again.load, again.counters[0, 0, 0].requests) == (2, 4)
