"""A service with a tracer that is made up, for tests of what it does with events."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from aod.bundle import OutputDirectory
from aod.config import Config
from aod.events import COUNTER, COUNTER_KEY, REQUEST, REQUEST_KEY, WAIT, Count, Events, empty
from aod.incidents.state import StateDirectory
from aod.service.reload import Load
from aod.service.service import Service
from aod.service.signals import Signals
from aod.smb import Command as Smb
from aod.smb.filter import Filter
from aod.smb.probes import LADDER, Probe
from aod.tracer.own import OwnProcesses
from aod.tracer.program import Tracer
from tests.conftest import manifest_of, names_in
from tests.events import MS, make


class FakeRing:
    """Hands out batches of the test's making."""

    def __init__(self) -> None:
        self.first: list[Events] = []
        self.left: list[Events] = []
        self.watched: asyncio.Future[Callable[[Events], None]] = asyncio.Future()

    async def watch(self, on_events: Callable[[Events], None]) -> None:
        self.watched.set_result(on_events)
        for events in self.first:
            on_events(events)
        await asyncio.Event().wait()

    def read(self) -> Events:
        return self.left.pop(0) if self.left else empty()


class FakeTracer:
    """Notes what is asked of it; one READ was sent at `sent_ns` and is not answered."""

    def __init__(self) -> None:
        self.ring = FakeRing()
        self.calls: list[str] = []
        self.filter = Filter()
        self.sent_ns = time.monotonic_ns()
        self.rung = LADDER[0]
        self.attached = ("kprobe/smb_send_rqst",)
        self.programs = frozenset({"smb_send_rqst"})
        self.missing: dict[str, str] = {}
        self.refusals: tuple[str, ...] = ()
        self.pins = 0
        self.ring_bytes = 4 << 20
        self.counter_capacity = 4096
        self.own = OwnProcesses()
        self.scans = asyncio.Semaphore(0)
        self.forgotten: list[tuple[int, int]] = []
        self.filters: list[Filter] = []
        self.dropped: list[tuple[int, int, int]] = []
        self.command = Smb.SMB2_READ
        self._loop = asyncio.get_running_loop()

    def climb(self, wanted: Filter, own: OwnProcesses) -> Tracer:
        """Stand in for aod.tracer.ladder.climb."""
        self.calls.append("climb")
        self.filter = wanted
        self.own = own
        return cast(Tracer, self)

    def set_filter(self, wanted: Filter) -> None:
        self.filters.append(wanted)

    def detach(self) -> None:
        self.calls.append("detach")

    def close(self) -> None:
        self.calls.append("close")

    def section(self, probe: Probe) -> str:
        return f"kprobe/{probe.program}"

    def skipped(self) -> int:
        return 0

    def counts(self) -> dict[Count, int]:
        return dict.fromkeys(Count, 0)

    def forget(self, connection_id: int, message_id: int) -> bool:
        self.forgotten.append((connection_id, message_id))
        return True

    def counters(self) -> tuple[Any, Any]:
        """Fifty reads of 8 to 16 ms, like those of the tests."""
        keys, counters = np.zeros(1, COUNTER_KEY), np.zeros(1, COUNTER)
        keys["command"] = Smb.SMB2_READ
        counters["latency"][0, 13] = 50
        return keys, counters

    def drop_counters(self, keys: Iterable[tuple[int, int, int]]) -> None:
        self.dropped += keys

    def open_requests(self) -> tuple[Any, Any]:
        requests = np.zeros(1, REQUEST)
        requests["command"] = self.command
        requests["started_ns"] = requests["sent_ns"] = self.sent_ns
        requests["pid"], requests["tid"], requests["comm"] = 7, 8, b"cat"
        self._loop.call_soon_threadsafe(self.scans.release)
        is_open = not self.forgotten
        return np.zeros(1, REQUEST_KEY)[:is_open], requests[:is_open]

    def threads(self) -> tuple[Any, Any]:
        return np.empty(0, np.uint32), np.empty(0, WAIT)


@dataclass
class Running:
    """A service that runs: its ring's sending end, and what it can be told."""

    send: Callable[[Events], None]
    signals: Signals
    service: Service

    def __call__(self, events: Events) -> None:
        """Send a batch as the ring does."""
        self.send(events)


@asynccontextmanager
async def running(
    config: Config,
    output: OutputDirectory,
    tracer: FakeTracer,
    seconds: float = 20,
    load: Load | None = None,
    state: StateDirectory | None = None,
) -> AsyncIterator[Running]:
    """Run a service for at most so many seconds, and stop it at the end."""
    signals = Signals()
    async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
        service = make_service(config, output, tracer, signals, load, state)
        group.create_task(service.run())
        yield Running(await tracer.ring.watched, signals, service)
        signals.stop.set()


def make_service(
    config: Config,
    output: OutputDirectory,
    tracer: FakeTracer,
    signals: Signals,
    load: Load | None = None,
    state: StateDirectory | None = None,
) -> Service:
    """Return a service that keeps no state and reads the same config anew, unless told."""
    return Service(config, output, signals, load or unchanged(config), state, tracer.climb)


def unchanged(config: Config) -> Load:
    """Return what reads the same config once more."""

    def load() -> Config:
        return config

    return load


def slow() -> Events:
    return make(time.monotonic_ns(), latency_ns=300 * MS, command=Smb.SMB2_READ, comm=b"cat")


async def all_manifests(output: OutputDirectory) -> list[dict[str, Any]]:
    names = [name for name in names_in(output.path) if name.startswith("aod_")]
    return [await manifest_of(output.path / name) for name in names]


async def only_manifest(output: OutputDirectory) -> dict[str, Any]:
    (manifest,) = await all_manifests(output)
    return manifest
