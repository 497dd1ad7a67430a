"""The service: its stages in the order in which data flows.

    tracer -> detectors -> incidents -> output directory <- cleanup

Shutdown is the same list backwards. Stages do not know each other: what passes between them
is a batch of events, an Anomaly, a Bundle.
"""

import asyncio
import logging
import os
import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

from aod import actions, detectors, smb, systemd, tasks
from aod.actions.action import Context
from aod.actions.runner import Runner
from aod.audit import Audit
from aod.bundle import OutputDirectory, recover
from aod.channel import Channel
from aod.cleanup import Cleanup, Limits
from aod.clock import wall_offset_ns
from aod.config import Config
from aod.detectors.anomaly import Anomaly
from aod.detectors.detector import Detector, Ticking
from aod.detectors.scope import Scoped, within_scope
from aod.errors import ConfigError, SurroundingsError
from aod.events import Events, Kind
from aod.filter import Filter, event_thresholds_ns, union
from aod.incident import Surroundings, make_context
from aod.incidents import Incidents
from aod.manifest import describe_events
from aod.names import Names, Upkeep
from aod.report.summary import render
from aod.tasks import Tasks
from aod.tracer.counters import usual_latency_ns
from aod.tracer.follower import Climb, Follower
from aod.tracer.inflight import OpenRequests
from aod.tracer.ladder import climb
from aod.tracer.ledger import Ledger, Watch
from aod.tracer.libbpf import libbpf_version
from aod.tracer.program import Tracer

log = logging.getLogger(__name__)

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
MIB = 1 << 20
EVENT_BATCHES = 16
"""Batches that may wait for a detector: 16 x 2048 events are 4.7 MB, shared by all."""
ANOMALIES = 64
"""Anomalies that may wait for the incidents."""
LOOK_S = 2.0
"""The stacks of ten threads take 1 ms; a thread in execve can lock its own."""


async def serve(config: Config, stop: asyncio.Event) -> None:
    """Run the service until `stop` is set; it watches whenever cifs is there.

    Raises AodError for what the user can mend, an exception group when a stage fails.
    """
    try:
        output = await asyncio.to_thread(OutputDirectory.open, config.aod_output_dir)
    except SurroundingsError as error:
        raise ConfigError([f"aod_output_dir: {error}"]) from error
    with output:
        output.lock()
        await asyncio.to_thread(recover, output, render)
        await asyncio.to_thread(_warm_up, config)
        await Service(config, output).run(stop)


class Service:
    """The stages of one config, connected."""

    def __init__(self, config: Config, output: OutputDirectory, climb: Climb = climb) -> None:
        self._config = config
        self._output = output
        self._audit = Audit(output.fd, config.audit.enabled)
        self._names = Names()
        self._name_again_s = 0.0
        self._detectors = make_detectors(config, self._names)
        self._upkeep = Upkeep(self._names)
        self._tracer = Follower(_needed(self._detectors), climb)
        self._open_requests = OpenRequests(self._tracer, self._names)
        self._ticking = [each for each in self._detectors if isinstance(each, Ticking)]
        self._batches = [Channel[Events](EVENT_BATCHES) for _ in self._detectors]
        self._anomalies = Channel[Anomaly](ANOMALIES)
        self._runner = Runner(config.watcher.max_concurrent_tasks)
        surroundings = Surroundings(
            self._describe,
            self._context,
            lambda: self._lost(self._tracer.ledger()),
            self._usual_latency_ns,
            self._tracer.describe,
            libbpf_version(),
        )
        self._incidents = Incidents(config, output, self._runner, surroundings)
        limits = Limits(
            int(config.cleanup.max_log_age_days * DAY_NS),
            int(config.cleanup.max_total_log_size_mb * MIB),
        )
        self._cleanup = Cleanup(output, limits, self._audit.record)

    async def run(self, stop: asyncio.Event) -> None:
        """Run all stages until `stop` is set, then finish what is in flight."""
        try:
            with closing(self._tracer):
                await self._run(stop)
                log.info("stopped %s", await asyncio.to_thread(self._tracer.ledger))
        except BaseExceptionGroup:
            if self._runner.stuck:
                log.exception("a stage failed")
                self._leave(1)
            raise
        if self._runner.stuck:
            self._leave(0)

    async def _run(self, stop: asyncio.Event) -> None:
        self._audit.record("config", sha256=self._config.fingerprint())
        async with asyncio.TaskGroup() as group:
            tracing = group.create_task(
                self._tracer.run(
                    self._config.watch_interval_sec, self._distribute, self._tracer_changed
                ),
                name="tracer",
            )
            detecting = [
                group.create_task(self._detect(detector, batches), name=f"detector {detector.name}")
                for detector, batches in zip(self._detectors, self._batches, strict=True)
            ]
            scanning = group.create_task(self._watch_open_requests(), name="open requests")
            incidents = group.create_task(self._incidents.run(self._anomalies), name="incidents")
            background = [
                group.create_task(self._clean_up(), name="cleanup"),
                group.create_task(self._watch_ledger(), name="ledger"),
                group.create_task(self._audit.run(), name="audit"),
                group.create_task(self._upkeep.run(), name="names"),
            ]
            await stop.wait()
            await self._finish([tracing, scanning], detecting, incidents)
            for task in background:
                task.cancel()

    def _tracer_changed(self, tracer: Tracer | None) -> None:
        if not tracer:
            log.warning("cifs is not loaded: waiting for it (modprobe cifs, or mount a share)")
            systemd.notify("READY=1\nSTATUS=waiting for cifs to be loaded")
            return
        self._audit.record("attach", rung=tracer.rung.number, programs=tracer.attached)
        for reason in tracer.refusals:
            log.warning("degraded: %s", reason)
        log.info(
            "attached rung=%d probes=%d missing=%s output=%s",
            tracer.rung.number,
            len(tracer.attached),
            ",".join(tracer.missing) or "none",
            self._output.path,
        )
        systemd.notify("READY=1\nSTATUS=watching SMB operations")

    def _distribute(self, events: Events) -> None:
        """Hand a batch to every detector, and to those who keep the names."""
        if __debug__:
            delay_ms = (time.monotonic_ns() - int(events["time_ns"].min())) / 1e6
            log.debug("batch events=%d oldest_ms=%.1f", events.size, delay_ms)
        for batches in self._batches:
            batches.send(events)
        self._upkeep.see(events)

    async def _detect(self, detector: Detector, batches: Channel[Events]) -> None:
        async for events in batches:
            if isinstance(detector, Scoped):
                await self._name(events)
            anomaly = detector.feed(events)
            if anomaly:
                self._anomalies.send(anomaly.stamped(wall_offset_ns()))

    async def _watch_open_requests(self) -> None:
        while True:
            await asyncio.sleep(self._config.watch_interval_sec)
            flight = await asyncio.to_thread(self._open_requests.read)
            if flight.given_up.size:
                self._distribute(flight.given_up)
            if any(isinstance(detector, Scoped) for detector in self._ticking):
                await self._name(flight.open)
            for detector in self._ticking:
                anomaly = detector.tick(flight.open)
                if anomaly:
                    found = replace(anomaly, tasks=await self._waiting_tasks(anomaly))
                    self._anomalies.send(found.stamped(wall_offset_ns()))

    async def _name(self, events: Events) -> None:
        """Look up what scopes go by, at most once an interval: an id may stay unknown."""
        now_s = time.monotonic()
        if now_s < self._name_again_s or not self._names.has_unknown_place(events):
            return
        self._name_again_s = now_s + self._config.watch_interval_sec
        try:
            async with asyncio.timeout(LOOK_S):
                await asyncio.to_thread(self._names.refresh)
        except TimeoutError:
            log.warning("no names within %g s, scopes take in what they do not know", LOOK_S)

    async def _waiting_tasks(self, anomaly: Anomaly) -> Tasks:
        try:
            async with asyncio.timeout(LOOK_S):
                return await asyncio.to_thread(tasks.waiting_for, anomaly.events)
        except TimeoutError:
            log.warning("the waiting threads could not be looked at within %g s", LOOK_S)
            return {}

    async def _clean_up(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self._cleanup.sweep, time.time_ns(), time.monotonic_ns())
            except OSError as error:
                log.error("cleanup failed, tried again later: %s", error)
            await asyncio.sleep(self._config.cleanup.cleanup_interval_sec)

    async def _watch_ledger(self) -> None:
        watch, known = Watch(), self._lost(Ledger())
        while True:
            await asyncio.sleep(self._config.watch_interval_sec)
            ledger = await asyncio.to_thread(self._tracer.ledger)
            if watch.look(ledger):
                log.warning("the ledger does not balance, requests went unseen: %s", ledger)
            lost = self._lost(ledger)
            if lost != known:
                log.warning("lost so far: %s", " ".join(f"{k}={v}" for k, v in lost.items()))
                known = lost

    async def _finish(
        self,
        seeing: list[asyncio.Task[None]],
        detecting: list[asyncio.Task[None]],
        incidents: asyncio.Task[None],
    ) -> None:
        """Stop in the order of the flow, each stage after what it was given was handled."""
        log.info("stopping grace_s=%g", self._config.shutdown_grace_sec)
        systemd.notify("STOPPING=1\nSTATUS=finishing open bundles")
        try:
            async with asyncio.timeout(self._config.shutdown_grace_sec):
                for task in seeing:
                    task.cancel()
                await self._tracer.finish(self._distribute)
                self._audit.record("detach")
                for batches in self._batches:
                    batches.close()
                await asyncio.wait(detecting)
                self._anomalies.close()
                self._incidents.hurry(self._config.shutdown_grace_sec)
                await asyncio.wait([incidents])
        except TimeoutError:
            log.error("open bundles cut off, they are sealed as interrupted at the next start")
            self._leave(0)

    def _leave(self, code: int) -> None:
        """End at once: a thread that is stuck in the kernel would hold a normal exit."""
        self._audit.flush()
        logging.shutdown()
        os._exit(code)

    def _describe(self, anomaly: Anomaly, wall_offset: int) -> list[dict[str, Any]]:
        self._names.look_up(anomaly.events)
        filters = {detector.name: detector.filter for detector in self._detectors}
        wanted = filters.get(anomaly.name)
        thresholds = event_thresholds_ns(wanted.thresholds_ns, anomaly.events) if wanted else None
        return describe_events(anomaly.events, thresholds, self._names, wall_offset)

    def _usual_latency_ns(self, events: Events) -> int:
        return usual_latency_ns(*self._tracer.counters(), events)

    def _context(self, raised_wall_ns: int) -> Context:
        return make_context(
            self._config,
            raised_wall_ns,
            hold_back=self._open_requests.objection,
            own_child=self._tracer.own.own,
            record=self._audit.record,
        )

    def _lost(self, ledger: Ledger) -> dict[str, int]:
        batches = sum(channel.dropped for channel in self._batches)
        return {
            "events": ledger.lost,
            "batches": batches,
            "anomalies": self._anomalies.dropped,
        }


def make_detectors(config: Config, names: Names) -> list[Detector]:
    """Return the detectors that the config asks for, each held to its scope."""
    interval_ns = int(config.watch_interval_sec * SECOND_NS)
    return [
        within_scope(
            partial(detectors.load(section.type).from_config, name, section, interval_ns),
            section,
            names,
        )
        for name, section in config.guardian.anomalies.items()
    ]


def _needed(detectors: list[Detector]) -> Filter:
    """Return what the kernel has to send: what the detectors want, and what changes names."""
    names = Filter(kinds=frozenset({Kind.TREE_CONNECT, Kind.RECONNECT}))
    return union([names, *(detector.filter for detector in detectors)])


def _warm_up(config: Config) -> None:
    """Read and import what would block the loop at the first event or anomaly.

    Raises ConfigError for an action that cannot be loaded.
    """
    smb.statuses()
    for name in config.watcher.actions:
        try:
            actions.create(name)
        except Exception as error:  # a third party's code: whatever it raises
            raise ConfigError([f"watcher.actions: cannot load {name}: {error!r}"]) from error
