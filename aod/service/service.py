"""The service: its stages in the order in which data flows.

    tracer -> detectors -> incidents -> output directory <- clean-up

Shutdown is the same list backwards. Stages do not know each other: what passes between them
is a batch of events, an Anomaly, a Bundle. Each owns its loop and runs as a supervised component.
"""

import asyncio
import logging
import os
import time
from functools import partial

from aod.actions.runner import Runner
from aod.activity.eviction import CounterEviction
from aod.activity.totals import Totals
from aod.bundle import OutputDirectory
from aod.config import Config
from aod.control import Control
from aod.detectors.anomaly import Anomaly
from aod.detectors.detection import Detection
from aod.detectors.running import RunningDetectors
from aod.host.directories import runtime_directory
from aod.incidents.cleanup import CleanUp, Leftovers, audit_bytes
from aod.incidents.evidence import Evidence
from aod.incidents.incidents import Incidents, make_cooldowns
from aod.incidents.notify import Notify
from aod.incidents.state import StateDirectory, StateFile
from aod.incidents.waiters import BundleWaiters
from aod.metrics import Exposure
from aod.processes import orphans
from aod.processes.children import Children
from aod.runtime.audit import Audit
from aod.runtime.counts import ServiceCounts
from aod.runtime.interval import Interval
from aod.runtime.queue import Queue
from aod.runtime.status import Status
from aod.runtime.supervisor import Component, Policy, Supervisor, without_steps
from aod.runtime.watchdog import Watchdog
from aod.service.answers import AnswerRoutes
from aod.service.attachment import Attachment
from aod.service.collect import ManualCollection
from aod.service.losses import Losses
from aod.service.output import OutputWatch
from aod.service.readings import Readings, ServiceStatus, versions
from aod.service.reload import ActiveConfig, Load, Reload
from aod.service.scan import EventFanOut, Scan
from aod.service.signals import Signals
from aod.service.warmup import needed
from aod.smb.names import Names
from aod.smb.refresher import NameRefresher
from aod.tracer.inflight import OpenRequests
from aod.tracer.ladder import climb
from aod.tracer.watcher import Climb, ModuleWatcher

log = logging.getLogger(__name__)

ANOMALIES = 64
"""Anomalies that may wait for the incidents."""
LAST_S = 2.0
"""For what is left to do after the last bundle: the audit, the state, the probes' maps."""


class Service:
    """The stages of one config, connected; a stage is handed the objects that it needs."""

    def __init__(
        self,
        config: Config,
        output: OutputDirectory,
        signals: Signals,
        load: Load,
        state: StateDirectory | None,
        climb: Climb = climb,
    ) -> None:
        self.signals = signals
        self.active = ActiveConfig(config)
        self.interval = Interval(config.watch_interval_sec)
        self.service_counts = ServiceCounts()
        self.supervisor = Supervisor(self.service_counts.restarts, signals.stop)
        self.audit = Audit(output.fd, config.audit.enabled, audit_bytes(config))
        # From the kernel to the anomalies.
        self.names = Names()
        self.refresher = NameRefresher(self.names)
        self.waiters = BundleWaiters()
        self.anomalies = Queue[Anomaly](ANOMALIES, self.waiters.refused)
        self.detection = Detection(
            config.guardian.anomalies, config.watch_interval_ns, self.names, self.anomalies.send
        )
        self.running_detectors = RunningDetectors(self.supervisor, self.detection)
        self.totals = Totals(self.names)
        self.tracer = ModuleWatcher(needed(self.detection.filter), self.totals, climb)
        self.events = EventFanOut(self.detection, self.refresher)
        self.open_requests = OpenRequests(self.tracer, self.names)
        self.eviction = CounterEviction(self.tracer, self.totals)
        # What is said of the service.
        self.losses = Losses(self.tracer, self.detection, self.anomalies)
        self.scan = Scan(
            self.open_requests, self.detection, self.events, self.losses, self.interval
        )
        self.status = Status(self.service_counts, self.supervisor, output, self.losses)
        self.watchdog = Watchdog(self.status, self.supervisor, self.interval)
        self.attachment = Attachment(
            self.tracer, self.events, self.interval, self.audit, self.status, output.path
        )
        # From the anomalies to the bundles.
        self.cooldowns = make_cooldowns(config)
        self.state_file = StateFile(state, self.cooldowns, self.service_counts)
        self.children = Children(self.tracer.own, self.audit)
        self.runner = Runner(config.watcher.max_concurrent_tasks, self.children, self.open_requests)
        self.notify = Notify(config.notify.command, self.children, self.audit)
        self.evidence = Evidence(self.names, self.tracer, self.detection, self.losses)
        self.incidents = Incidents(
            config,
            output,
            self.runner,
            self.evidence,
            self.notify,
            self.cooldowns,
            self.service_counts,
            self.supervisor.spawn,
            self.waiters,
        )
        # The output directory.
        self.leftovers = Leftovers(config, output, self.audit)
        self.cleanup = CleanUp(config, output, self.leftovers, self.audit, self.service_counts)
        self.output_watch = OutputWatch(output)
        # What the user asks for.
        self.manual_collection = ManualCollection(self.open_requests, self.anomalies)
        self.readings = Readings(
            self.active, self.tracer, self.names, self.losses, self.service_counts
        )
        self.exposure = Exposure(self.supervisor, self.readings, self.totals)
        self.service_status = ServiceStatus(self.active, output, self.status)
        self.answers = AnswerRoutes(
            self.service_status,
            self.losses,
            self.names,
            self.manual_collection,
            self.tracer,
            self.incidents,
            output,
        )
        self.control = Control(runtime_directory(), self.answers.routes())
        self.reload = Reload(
            self.active,
            load,
            self.interval,
            self.tracer,
            self.detection,
            self.running_detectors,
            self.incidents,
            self.runner,
            self.notify,
            self.cleanup,
            self.exposure,
            self.audit,
            self.status,
        )
        self._last_moment: asyncio.TimerHandle | None = None

    def _background(self) -> list[Component]:
        """Return what serves the stages: none of it but the output directory ends the service."""
        lasting, optional, signals = Policy.LASTING, Policy.OPTIONAL, self.signals
        return [
            self.output_watch.component,
            self.cleanup.component,
            Component("counters", self.eviction.run, lasting),
            Component("state", partial(self.state_file.run, self.interval), lasting),
            Component("watchdog", without_steps(self.watchdog.run), lasting),
            Component("reload", partial(self.reload.run, signals.reload), lasting),
            Component("collect", partial(self.manual_collection.run, signals.collect), lasting),
            Component("control", without_steps(self.control.run), optional),
            Component("audit", without_steps(self.audit.run), optional),
            Component("orphans", without_steps(partial(orphans.watch, self.children)), optional),
            Component("names", without_steps(self.refresher.run), optional),
        ]

    async def run(self) -> None:
        """Run all stages until asked to stop, then finish what is in flight."""
        try:
            await self._run()
            log.info("stopped %s", await asyncio.to_thread(self.tracer.ledger))
            await self.state_file.keep()
        finally:
            await asyncio.to_thread(self.tracer.close)
            if self._last_moment:
                self._last_moment.cancel()
        if self.supervisor.failure:
            raise self.supervisor.failure

    async def _run(self) -> None:
        await self.state_file.recall()
        made_of = await asyncio.to_thread(versions)
        self.audit.record("start", pid=os.getpid(), **made_of)
        self.audit.record("config", sha256=self.active.config.fingerprint())
        async with self.supervisor as supervisor:
            seeing = [
                supervisor.start(each) for each in (self.attachment.component, self.scan.component)
            ]
            self.running_detectors.start(self.detection.components)
            incidents = supervisor.start(
                Component("incidents", without_steps(partial(self.incidents.run, self.anomalies)))
            )
            notifying = supervisor.start(
                Component("notify", without_steps(self.notify.run), Policy.OPTIONAL)
            )
            background = [supervisor.start(each) for each in self._background()]
            await self.exposure.change(self.active.config.metrics)
            await self.signals.stop.wait()
            await self._finish(seeing, incidents, notifying)
            failure = supervisor.failure
            self.audit.record("stop", failure=repr(failure) if failure else "")
            for task in (*background, notifying, *self.exposure.tasks):
                task.cancel()

    async def _finish(
        self,
        seeing: list[asyncio.Task[None]],
        incidents: asyncio.Task[None],
        notifying: asyncio.Task[None],
    ) -> None:
        """Stop in the order of the flow, each stage after what it was given was handled."""
        grace_s = self.active.config.shutdown_grace_sec
        until_s = time.monotonic() + grace_s
        log.info("stopping grace_s=%g", grace_s)
        self.status.stopping()
        self.supervisor.stop()
        try:
            async with asyncio.timeout(grace_s):
                for task in seeing:
                    task.cancel()
                await self.attachment.finish()
                await self.running_detectors.finish()
                self.anomalies.close()
                self.incidents.hurry(grace_s)
                await asyncio.wait([incidents])
        except TimeoutError:
            log.error("open bundles cut off, they are sealed as interrupted at the next start")
            self._leave()
        self.notify.close()
        await asyncio.wait([notifying], timeout=max(0.0, until_s - time.monotonic()))
        # A thread that is stuck in the kernel must not hold what is left to do.
        self._last_moment = asyncio.get_running_loop().call_later(LAST_S, self._leave)

    def _leave(self) -> None:
        """End at once: what is cut off would hold a normal exit."""
        logging.shutdown()
        os._exit(self.supervisor.exit_code)
