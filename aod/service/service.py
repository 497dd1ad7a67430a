"""The service: its stages in the order in which data flows.

    tracer -> detectors -> incidents -> output directory <- cleanup

Shutdown is the same list backwards. Stages do not know each other: what passes between them
is a batch of events, an Anomaly, a Bundle. Each runs as a supervised component.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from aod import actions, redact, smb
from aod.actions.action import Context
from aod.actions.runner import Runner
from aod.activity.usual import IdleCounters, usual_latency_ns
from aod.bundle import Clean, OutputDirectory, recover
from aod.bundle.describe import describe_events, describe_versions
from aod.bundle.retention import Cleanup, Limits
from aod.config import Config
from aod.control import Control
from aod.detectors.anomaly import Anomaly
from aod.detectors.detection import Detection, filter_of
from aod.errors import AodError, ConfigError, SurroundingsError, TracerError
from aod.events import Events, Kind
from aod.host.places import is_made_at_start, runtime_directory, state_directory
from aod.incidents.incident import Surroundings, make_context
from aod.incidents.incidents import Incidents, make_cooldowns
from aod.incidents.notify import Notify
from aod.incidents.state import Keeper, StateDirectory
from aod.metrics import Exposure, Operations, Reading
from aod.processes import orphans, programs
from aod.report.summary import render
from aod.runtime.audit import Audit, part_of
from aod.runtime.counts import Tally
from aod.runtime.queue import Channel
from aod.runtime.status import Status
from aod.runtime.supervisor import Component, Policy, Pulse, Supervisor
from aod.runtime.watchdog import Watchdog
from aod.service import answers
from aod.smb.filter import Filter, event_thresholds_ns, union
from aod.smb.names import Names
from aod.smb.upkeep import Upkeep
from aod.tracer.follower import Climb, Follower
from aod.tracer.inflight import OpenRequests
from aod.tracer.ladder import climb
from aod.tracer.ledger import Ledger, Watch
from aod.tracer.libbpf import libbpf_version
from aod.tracer.program import MAX_COUNTERS, Tracer

log = logging.getLogger(__name__)

DAY_NS = 86_400 * 1_000_000_000
MIB = 1 << 20
ANOMALIES = 64
"""Anomalies that may wait for the incidents."""
LAST_S = 2.0
"""For what is left to do after the last bundle: the audit, the state, the probes' maps."""
MAKE_ROOM_S = 600.0
"""Idle time after which a counter may go."""
SLOW_STEP_S = 300.0
"""What a clean-up of a large directory, or the load of the probes, may take."""
NAMES_KINDS = Filter(kinds=frozenset({Kind.TREE_CONNECT, Kind.RECONNECT}))
"""What changes names, and is sent whatever the detectors want."""


@dataclass(slots=True)
class Orders:
    """What the service is told from outside: to end, to read its config anew, to collect."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    reload: asyncio.Event = field(default_factory=asyncio.Event)
    collect: asyncio.Event = field(default_factory=asyncio.Event)


async def serve(config: Config, orders: Orders, load: Callable[[], Config]) -> None:
    """Run the service until it is told to stop; it watches whenever cifs is there.

    `load` reads the config anew. Raises AodError for what the user can mend, and the failure
    of a component that could not be kept running.
    """
    try:
        output = await asyncio.to_thread(OutputDirectory.open, config.aod_output_dir)
    except SurroundingsError as error:
        raise ConfigError([f"aod_output_dir: {error}"]) from error
    with output:
        output.lock()
        await asyncio.to_thread(_warm_up, config)
        state = await asyncio.to_thread(_open_state)
        service = Service(config, output, load=load, state=state)
        await asyncio.to_thread(service.recover)
        await service.run(orders)


class Service:
    """The stages of one config, connected."""

    def __init__(
        self,
        config: Config,
        output: OutputDirectory,
        climb: Climb = climb,
        load: Callable[[], Config] | None = None,
        state: StateDirectory | None = None,
    ) -> None:
        self._config = config
        self._output = output
        self._load = load
        self._tally = Tally()
        self._cooldowns = make_cooldowns(config)
        self._keeper = Keeper(state, self._cooldowns, self._tally)
        self._supervisor = Supervisor(self._tally.restarts)
        self._status = Status(
            self._tally, lambda: self._supervisor.switched_off, lambda: output.complaint
        )
        self._audit = Audit(output.fd, config.audit.enabled, _audit_bytes(config))
        self._names = Names()
        self._upkeep = Upkeep(self._names)
        self._anomalies = Channel[Anomaly](
            ANOMALIES, lambda anomaly: self._incidents.outcomes.refused(anomaly)
        )
        self._detection = Detection(config, self._names, self._anomalies.send)
        self._tracer = Follower(_needed(self._detection.filter), climb)
        self._open_requests = OpenRequests(self._tracer, self._names)
        self._operations = Operations(self._names)
        self._tracer.on_unload = self._operations.add
        self._exposure = Exposure(
            self._supervisor.start,
            self._reading,
            self._operations,
            lambda: describe_versions(libbpf_version()),
        )
        self._runner = Runner(config.watcher.max_concurrent_tasks)
        self._notify = Notify(config.notify.command, self._context, self._audit.record)
        surroundings = Surroundings(
            self._describe,
            self._context,
            lambda: self._lost(self._tracer.ledger()),
            self._usual_latency_ns,
            self._tracer.describe,
            libbpf_version(),
            shares=self._names.shares,
            told=self._notify.send,
        )
        self._incidents = Incidents(
            config,
            output,
            self._runner,
            surroundings,
            self._cooldowns,
            self._tally,
            self._supervisor.spawn,
        )
        self._cleanup = Cleanup(output, _limits(config), self._record_deletion)
        self._answers = answers.Answers(
            self._about,
            self._lost,
            self._anomalies.send,
            self._tracer,
            self._open_requests,
            self._incidents,
            output.path,
        )
        self._watchdog = Watchdog(lambda: str(self._status), lambda: self._supervisor.late)
        self._is_attached = False
        self._last_moment: asyncio.TimerHandle | None = None
        self._judging: set[asyncio.Task[None]] = set()

    def recover(self) -> None:
        """Bring what an earlier run has left unsealed to an end; blocks."""
        recover(self._output, render, self._audit.record, self._clean_of)

    async def run(self, orders: Orders) -> None:
        """Run all stages until told to stop, then finish what is in flight."""
        try:
            await self._run(orders)
            log.info("stopped %s", await asyncio.to_thread(self._tracer.ledger))
            await self._keeper.keep()
        finally:
            await asyncio.to_thread(self._tracer.close)
            if self._last_moment:
                self._last_moment.cancel()
        if self._supervisor.failure:
            raise self._supervisor.failure

    async def _run(self, orders: Orders) -> None:
        await self._keeper.recall()
        versions = await asyncio.to_thread(describe_versions, libbpf_version())
        self._audit.record("start", pid=os.getpid(), **versions)
        self._audit.record("config", sha256=self._config.fingerprint())
        async with self._supervisor as supervisor:
            supervisor.on_failure = orders.stop.set
            seeing = [supervisor.start(each) for each in self._seeing()]
            self._start_judging(lane.component for lane in self._detection.lanes)
            incidents = supervisor.start(
                Component("incidents", lambda _: self._incidents.run(self._anomalies))
            )
            notifying = supervisor.start(
                Component("notify", lambda _: self._notify.run(), Policy.OPTIONAL)
            )
            background = [supervisor.start(each) for each in self._background(orders)]
            await self._exposure.change(self._config.metrics)
            await orders.stop.wait()
            await self._finish(seeing, incidents, notifying)
            self._audit.record("stop", failure=self._failure())
            for task in (*background, notifying, *self._exposure.tasks):
                task.cancel()

    def _seeing(self) -> list[Component]:
        """Return what looks into the kernel; before the service is ready none can be retried."""
        tracer = Component(
            "tracer",
            self._trace,
            pulse=Pulse(SLOW_STEP_S),
            is_hopeless=lambda error: not self._status.is_ready,
        )
        return [tracer, Component("open requests", self._watch_open_requests)]

    def _background(self, orders: Orders) -> list[Component]:
        """Return what serves the stages: none of it but the output directory ends the service."""
        return [
            Component(
                "output directory",
                self._watch_output,
                is_hopeless=lambda error: isinstance(error, SurroundingsError),
            ),
            Component("cleanup", self._clean_up, Policy.LASTING, Pulse(SLOW_STEP_S)),
            Component("ledger", self._watch_ledger, Policy.LASTING),
            Component("counters", self._make_room, Policy.LASTING),
            Component("state", self._watch_state, Policy.LASTING),
            Component("watchdog", self._watch_dog, Policy.LASTING),
            Component("reload", partial(self._reload_when_told, orders), Policy.LASTING),
            Component("collect", partial(self._collect_when_told, orders), Policy.LASTING),
            Component("control", self._control, Policy.OPTIONAL),
            Component("audit", lambda _: self._audit.run(), Policy.OPTIONAL),
            Component("orphans", lambda _: orphans.watch(), Policy.OPTIONAL),
            Component("names", lambda _: self._upkeep.run(), Policy.OPTIONAL),
        ]

    def _start_judging(self, components: Iterable[Component]) -> None:
        for component in components:
            task = self._supervisor.start(component)
            self._judging.add(task)
            task.add_done_callback(self._judging.discard)

    def _interval_s(self) -> float:
        """Return the interval of the config that is in force."""
        return self._config.watch_interval_sec

    async def _trace(self, pulse: Pulse) -> None:
        await self._tracer.run(self._interval_s, self._distribute, self._tracer_changed, pulse.busy)

    def _tracer_changed(self, tracer: Tracer | None) -> None:
        if self._is_attached:
            reason = "attached anew" if tracer else "cifs was unloaded"
            self._audit.record("detach", reason=reason)
        self._is_attached = tracer is not None
        if not tracer:
            log.warning("cifs is not loaded: waiting for it (modprobe cifs, or mount a share)")
            self._status.ready("waiting for cifs to be loaded")
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
        self._status.ready("watching SMB operations")

    def _distribute(self, events: Events) -> None:
        """Hand a batch to every detector, and to those who keep the names."""
        if __debug__:
            delay_ms = (time.monotonic_ns() - int(events["time_ns"].min())) / 1e6
            log.debug("batch events=%d oldest_ms=%.1f", events.size, delay_ms)
        self._detection.feed(events)
        self._upkeep.see(events)

    async def _watch_open_requests(self, pulse: Pulse) -> None:
        while True:
            await asyncio.sleep(self._config.watch_interval_sec)
            with pulse.busy():
                flight = await asyncio.to_thread(self._open_requests.read)
            if flight.given_up.size:
                self._distribute(flight.given_up)
            self._detection.look(flight.open)

    async def _clean_up(self, pulse: Pulse) -> None:
        while True:
            try:
                with pulse.busy():
                    await asyncio.to_thread(self._tidy)
            except OSError as error:
                log.error("cleanup failed, tried again later: %s", error)
            await asyncio.sleep(self._config.cleanup.cleanup_interval_sec)

    async def _watch_output(self, _: Pulse) -> None:
        """Fail when a new start brings back the directory, and nothing else does."""
        if not is_made_at_start(self._output.path):
            return
        cut_off, loop = asyncio.Event(), asyncio.get_running_loop()
        self._output.on_cut_off = partial(loop.call_soon_threadsafe, cut_off.set)
        await cut_off.wait()
        raise SurroundingsError(self._output.complaint)

    def _tidy(self) -> None:
        self._output.follow()
        self.recover()
        self._cleanup.sweep(time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME))

    def _clean_of(self, manifest: Mapping[str, Any]) -> Clean:
        """Return how a bundle that was cut off is cleaned: as it began, or stricter."""
        return redact.for_leftover(manifest, redact=self._config.redact).bundle

    async def _watch_ledger(self, pulse: Pulse) -> None:
        watch = Watch()
        while True:
            await asyncio.sleep(self._config.watch_interval_sec)
            with pulse.busy():
                ledger = await asyncio.to_thread(self._tracer.ledger)
            if watch.look(ledger):
                log.warning("the ledger does not balance, requests went unseen: %s", ledger)
            lost, known = self._lost(ledger), self._status.lost
            self._status.lost = lost
            if sum(lost.values()) > sum(known.values()):
                log.warning("lost so far: %s", " ".join(f"{k}={v}" for k, v in lost.items()))

    async def _make_room(self, pulse: Pulse) -> None:
        """Take the counters of shares that are gone out of the kernel before its map is full."""
        idle = IdleCounters(MAX_COUNTERS * 3 // 4)
        while True:
            await asyncio.sleep(MAKE_ROOM_S)
            with pulse.busy():
                sample, dropped = await asyncio.to_thread(self._tracer.drop_counters, idle.find)
                await asyncio.to_thread(self._operations.add, sample, dropped)
            if dropped:
                log.info("idle counters dropped count=%d of=%d", len(dropped), len(sample.counters))

    async def _watch_state(self, pulse: Pulse) -> None:
        while True:
            await asyncio.sleep(self._config.watch_interval_sec)
            with pulse.busy():
                await self._keeper.keep()

    async def _watch_dog(self, _: Pulse) -> None:
        await self._watchdog.run(self._interval_s)

    async def _collect_when_told(self, orders: Orders, _: Pulse) -> None:
        while True:
            await orders.collect.wait()
            orders.collect.clear()
            self._anomalies.send(await answers.by_hand("SIGUSR1", self._open_requests))

    async def _control(self, _: Pulse) -> None:
        await Control(runtime_directory(), self._answers.routes()).run()

    def _about(self) -> dict[str, Any]:
        """Return what those who ask over the socket are told first."""
        return {
            "pid": os.getpid(),
            "output": str(self._output.path),
            "config_sha256": self._config.fingerprint(),
            "status": str(self._status),
            "complaints": self._status.complaints,
        }

    async def _reload_when_told(self, orders: Orders, pulse: Pulse) -> None:
        while True:
            await orders.reload.wait()
            orders.reload.clear()
            self._status.reloading()
            complaint = "config not reloaded: see the log"
            try:
                with pulse.busy():
                    await self._reload()
                complaint = ""
            except AodError as error:
                complaint = _refused(str(error).splitlines())
            finally:
                self._status.reloaded(complaint)

    async def _reload(self) -> None:
        """Go by the config as it is now: no probe is taken out, and no event is lost.

        The kernel sends what either config wants while the detectors are replaced.
        """
        assert self._load
        config = await asyncio.to_thread(self._load)
        if config.aod_output_dir != self._config.aod_output_dir:
            where = f"aod_output_dir: {config.aod_output_dir}"
            raise ConfigError([f"{where}: another directory needs a restart (restart aod)"])
        await asyncio.to_thread(_warm_up, config)
        lanes = self._detection.prepare(config)
        wanted = _needed(filter_of(lanes))
        await asyncio.to_thread(self._tracer.set_filter, wanted | self._tracer.wanted)
        self._start_judging(self._detection.swap(lanes))
        self._change_config(config)
        try:
            await asyncio.to_thread(self._tracer.set_filter, wanted)
        except TracerError as error:  # the new config is in force all the same
            log.warning("the kernel's filter stays wider than it has to be: %s", error)
        await self._exposure.change(config.metrics)
        self._audit.record("config", sha256=config.fingerprint())
        log.info("config reloaded sha256=%s", config.fingerprint())

    def _change_config(self, config: Config) -> None:
        self._config = config
        self._incidents.change_config(config)
        self._runner.change_limit(config.watcher.max_concurrent_tasks)
        self._cleanup.limits = _limits(config)
        self._notify.command = config.notify.command
        self._audit.is_enabled = config.audit.enabled
        self._audit.max_bytes = _audit_bytes(config)

    async def _finish(
        self,
        seeing: list[asyncio.Task[None]],
        incidents: asyncio.Task[None],
        notifying: asyncio.Task[None],
    ) -> None:
        """Stop in the order of the flow, each stage after what it was given was handled."""
        grace_s = self._config.shutdown_grace_sec
        until_s = time.monotonic() + grace_s
        log.info("stopping grace_s=%g", grace_s)
        self._status.stopping()
        self._supervisor.stop()
        try:
            async with asyncio.timeout(grace_s):
                for task in seeing:
                    task.cancel()
                await self._tracer.finish(self._distribute)
                self._audit.record("detach", reason="aod ends")
                self._detection.close()
                if self._judging:
                    await asyncio.wait(self._judging)
                self._anomalies.close()
                self._incidents.hurry(grace_s)
                await asyncio.wait([incidents])
        except TimeoutError:
            log.error("open bundles cut off, they are sealed as interrupted at the next start")
            self._leave()
        self._notify.close()
        await asyncio.wait([notifying], timeout=max(0.0, until_s - time.monotonic()))
        # A thread that is stuck in the kernel must not hold what is left to do.
        self._last_moment = asyncio.get_running_loop().call_later(LAST_S, self._leave)

    def _leave(self) -> None:
        """End at once: what is cut off would hold a normal exit."""
        logging.shutdown()
        os._exit(1 if self._supervisor.failure else 0)

    def _failure(self) -> str:
        """Return what aod ends by, "" when it was told to."""
        return repr(self._supervisor.failure) if self._supervisor.failure else ""

    def _describe(self, anomaly: Anomaly, wall_offset: int) -> list[dict[str, Any]]:
        self._names.look_up(anomaly.events)
        wanted = self._detection.filter_by_name().get(anomaly.name)
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

    def _reading(self) -> Reading:
        sample, ledger = self._tracer.sample(), self._tracer.ledger()
        # After the sample, so that what it holds has a name.
        self._names.refresh()
        tracer = self._tracer.tracer
        return Reading(
            sample,
            asdict(ledger),
            self._lost(ledger),
            self._tally,
            list(self._config.guardian.anomalies),
            tracer.rung.number if tracer else 0,
            len(tracer.attached) if tracer else 0,
        )

    def _record_deletion(self, event: str, /, **facts: str | int) -> None:
        self._tally.deleted += 1
        self._audit.record(event, **facts)

    def _lost(self, ledger: Ledger) -> dict[str, int]:
        return {
            "events": ledger.lost,
            "batches": self._detection.dropped,
            "anomalies": self._anomalies.dropped,
        }


def _refused(problems: Sequence[str]) -> str:
    """Log why a config is not taken over, a line each; return what STATUS says of it."""
    for problem in problems:
        log.error("config not reloaded, the old one stays in force: %s", problem)
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"config not reloaded: {problems[0]}{more}"


def _needed(by_detectors: Filter) -> Filter:
    """Return what the kernel has to send: what the detectors want, and what changes names."""
    return union([NAMES_KINDS, by_detectors])


def _limits(config: Config) -> Limits:
    return Limits(
        int(config.cleanup.max_log_age_days * DAY_NS),
        int(config.cleanup.max_total_log_size_mb * MIB),
    )


def _audit_bytes(config: Config) -> int:
    return part_of(int(config.cleanup.max_total_log_size_mb * MIB))


def _open_state() -> StateDirectory | None:
    """Open the state directory; without one nothing but the memory of a restart is missing."""
    path = state_directory()
    try:
        return StateDirectory(path)
    except OSError as error:
        log.warning("no state is kept over a restart: cannot open %s: %s", path, error)
        return None


def _warm_up(config: Config) -> None:
    """Read and import what would block the loop at the first event or anomaly.

    Raises ConfigError for an action that cannot be loaded.
    """
    smb.statuses()
    for name in config.watcher.actions:
        try:
            action = actions.create(name)
        except Exception as error:  # a third party's code: whatever it raises
            raise ConfigError([f"watcher.actions: cannot load {name}: {error!r}"]) from error
        programs.find_early(getattr(action, "program", None))
