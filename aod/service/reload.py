"""SIGHUP: the config is read anew and takes the place of the old one, or the old one stays."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aod.actions.runner import Runner
from aod.config import Config
from aod.detectors.detection import Detection, filter_of
from aod.detectors.running import RunningDetectors
from aod.errors import AodError, ConfigError, TracerError
from aod.incidents.cleanup import CleanUp, audit_bytes
from aod.incidents.incidents import Incidents
from aod.incidents.notify import Notify
from aod.metrics import Exposure
from aod.runtime.audit import Audit
from aod.runtime.interval import Interval
from aod.runtime.status import Status
from aod.runtime.supervisor import Progress
from aod.service.warmup import needed, warm_up
from aod.tracer.watcher import ModuleWatcher

log = logging.getLogger(__name__)

Load = Callable[[], Config]
"""Reads the config anew; raises ConfigError."""


@dataclass(slots=True)
class ActiveConfig:
    """The config that is in force."""

    config: Config


@dataclass(frozen=True, slots=True)
class Reload:
    """Replaces the config of a service that runs; a component."""

    active: ActiveConfig
    load: Load
    interval: Interval
    tracer: ModuleWatcher
    detection: Detection
    running_detectors: RunningDetectors
    incidents: Incidents
    runner: Runner
    notify: Notify
    cleanup: CleanUp
    exposure: Exposure
    audit: Audit
    status: Status

    async def run(self, asked: asyncio.Event, progress: Progress) -> None:
        """Reload whenever the event is set, until cancelled."""
        while True:
            await asked.wait()
            asked.clear()
            self.status.reloading()
            complaint = "config not reloaded: see the log"
            try:
                with progress.busy():
                    await self._apply()
                complaint = ""
            except AodError as error:
                complaint = _refused(str(error).splitlines())
            finally:
                self.status.reloaded(complaint)

    async def _apply(self) -> None:
        """Go by the config as it is now: no probe is taken out, and no event is lost.

        The kernel sends what either config wants while the detectors are replaced.
        """
        config = await asyncio.to_thread(self.load)
        if config.aod_output_dir != self.active.config.aod_output_dir:
            where = f"aod_output_dir: {config.aod_output_dir}"
            raise ConfigError([f"{where}: another directory needs a restart (restart aod)"])
        await asyncio.to_thread(warm_up, config)
        workers = self.detection.prepare(config.guardian.anomalies, config.watch_interval_ns)
        wanted = needed(filter_of(workers))
        await asyncio.to_thread(self.tracer.set_filter, wanted | self.tracer.wanted)
        self.running_detectors.start(self.detection.swap(workers))
        self._change(config)
        try:
            await asyncio.to_thread(self.tracer.set_filter, wanted)
        except TracerError as error:  # the new config is in force all the same
            log.warning("the kernel's filter stays wider than it has to be: %s", error)
        await self.exposure.change(config.metrics)
        self.audit.record("config", sha256=config.fingerprint())
        log.info("config reloaded sha256=%s", config.fingerprint())

    def _change(self, config: Config) -> None:
        self.active.config = config
        self.interval.seconds = config.watch_interval_sec
        self.incidents.change_config(config)
        self.runner.change_limit(config.watcher.max_concurrent_tasks)
        self.notify.command = config.notify.command
        self.cleanup.change_config(config)
        self.audit.is_enabled = config.audit.enabled
        self.audit.max_bytes = audit_bytes(config)


def _refused(problems: Sequence[str]) -> str:
    """Log why a config is not taken over, a line each; return what STATUS says of it."""
    for problem in problems:
        log.error("config not reloaded, the old one stays in force: %s", problem)
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"config not reloaded: {problems[0]}{more}"
