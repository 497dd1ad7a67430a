"""Incidents: from an anomaly to a sealed bundle, and quiet after it."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import TypeAlias

from aod.actions.runner import Runner
from aod.bundle import OutputDirectory
from aod.config import Config
from aod.detectors.anomaly import Anomaly
from aod.incidents.cooldown import Cooldowns, Suppressed
from aod.incidents.evidence import Evidence
from aod.incidents.incident import Incident
from aod.incidents.notices import Outcome, Recipient, opened
from aod.incidents.waiters import BundleWaiters
from aod.runtime.counts import ServiceCounts
from aod.runtime.journal import BUNDLE, INCIDENT, entry
from aod.runtime.queue import Queue

log = logging.getLogger(__name__)

SECOND_NS = 1_000_000_000

Spawn: TypeAlias = Callable[[Coroutine[object, None, None], str], asyncio.Task[None]]
"""Runs a coroutine beside the caller under a name."""


def make_cooldowns(config: Config) -> Cooldowns:
    """Return the cooldowns of a config, with none running."""
    incidents = config.incidents
    return Cooldowns(int(incidents.max_cooldown_sec * SECOND_NS), incidents.max_bundles_per_hour)


class Incidents:
    """Opens an incident for an anomaly, lets others join it, and keeps the peace after it.

    `cooldowns` and `service_counts` may have been kept from an earlier run; `spawn` runs each
    incident; `recipient` is sent how each ended.
    """

    def __init__(
        self,
        config: Config,
        output: OutputDirectory,
        runner: Runner,
        evidence: Evidence,
        recipient: Recipient,
        cooldowns: Cooldowns,
        service_counts: ServiceCounts,
        spawn: Spawn,
        waiters: BundleWaiters,
    ) -> None:
        self._config = config
        self._output = output
        self._runner = runner
        self._evidence = evidence
        self._recipient = recipient
        self._cooldowns = cooldowns
        self._service_counts = service_counts
        self._spawn = spawn
        self.waiters = waiters
        """Where those who asked for a bundle wait for it."""
        self._collecting: Incident | None = None
        self._unsealed: set[asyncio.Task[None]] = set()
        self._grace_s: float | None = None

    async def run(self, anomalies: Queue[Anomaly]) -> None:
        """Handle anomalies until the queue is closed and every incident is sealed."""
        async for anomaly in anomalies:
            try:
                self._take(anomaly)
            finally:
                self.waiters.refused(anomaly)
        if self._unsealed:
            await asyncio.wait(self._unsealed)
        for held_back in self._cooldowns.held_back:
            log.info("held back until the end anomaly=%s count=%d", held_back.name, held_back.count)

    @property
    def held_back(self) -> tuple[Suppressed, ...]:
        """What was held back since the last bundle."""
        return self._cooldowns.held_back

    def change_config(self, config: Config) -> None:
        """Go by another config from the next incident on."""
        self._config = config
        limits = make_cooldowns(config)
        self._cooldowns.change_limits(limits.max_cooldown_ns, limits.max_per_hour)

    def hurry(self, grace_s: float) -> None:
        """End the incident that is being collected, and any later one, within `grace_s`."""
        self._grace_s = grace_s
        if self._collecting:
            self._collecting.hurry(grace_s)

    def _take(self, anomaly: Anomaly) -> None:
        if self._collecting and self._collecting.join(anomaly):
            self.waiters.taken(anomaly, self._collecting)
            return
        objection = self._cooldowns.admit(anomaly, time.monotonic_ns())
        if objection:
            self._service_counts.suppressed[anomaly.name] += 1
            log.debug("anomaly held back name=%s: %s", anomaly.key, objection)
            return
        incident = Incident(
            anomaly,
            self._config,
            self._runner,
            self._evidence,
            self._cooldowns.take_suppressed(),
        )
        if self._grace_s is not None:
            incident.hurry(self._grace_s)
        task = self._spawn(self._finish(incident), f"incident {anomaly.timestamp}")
        self._collecting = incident
        self._unsealed.add(task)
        task.add_done_callback(self._unsealed.discard)
        self._service_counts.incidents[anomaly.name] += 1
        self.waiters.taken(anomaly, incident)
        log.info(
            "incident opened anomaly=%s count=%d emergency=%s",
            anomaly.name,
            anomaly.count,
            anomaly.emergency,
            extra=entry(INCIDENT, opened(anomaly, self._evidence.shares(anomaly.events))),
        )

    async def _finish(self, incident: Incident) -> None:
        """Collect and seal; what goes wrong costs this bundle, never the service or another."""
        try:
            await incident.collect(self._output)
        except Exception as error:  # the boundary of an incident
            if not incident.is_open:
                await self._give_up(incident, error)
                return
            log.exception("collecting failed, what there is is sealed bundle=%s", incident.name)
        finally:
            if self._collecting is incident:
                self._collecting = None
            self._cool_down(incident)
        try:
            name = await incident.seal()
        except Exception as error:  # the boundary of an incident
            await self._leave(incident, error)
            return
        self._service_counts.bundles["sealed"] += 1
        self._service_counts.last_bundle = name
        self.waiters.sealed(incident, name)
        fields = await self._report(incident, "sealed", name)
        log.info("bundle sealed file=%s", self._output.path / name, extra=fields)

    async def _report(
        self, incident: Incident, outcome: Outcome, name: str, reason: str = ""
    ) -> Mapping[str, object]:
        """Hand on how an incident ended, and return what makes its log line an entry."""
        bundle = str(self._output.path / name) if name else ""
        try:
            notice = await incident.notice(outcome, bundle, reason)
        except Exception:  # the line itself must come in any case
            log.exception("incident ended and cannot be described anomaly=%s", incident.first.name)
            return {}
        self._recipient.send(notice)
        return entry(BUNDLE, notice.fields())

    async def _give_up(self, incident: Incident, error: Exception) -> None:
        """Count what could not be opened: the next bundle names it."""
        self._service_counts.bundles["not opened"] += 1
        self.waiters.failed(incident, f"bundle not opened: {error}")
        fields = await self._report(incident, "not opened", "", str(error))
        is_expected = isinstance(error, OSError)
        log.error(
            "bundle not opened anomaly=%s: %s",
            incident.first.name,
            error,
            extra=fields,
            exc_info=None if is_expected else error,
        )
        self._cooldowns.give_back(incident.suppressed, incident.anomalies)

    async def _leave(self, incident: Incident, error: Exception) -> None:
        """Leave to the clean-up what could not be sealed, and count what is lost with its place."""
        self._service_counts.bundles["not sealed"] += 1
        self.waiters.failed(incident, f"bundle not sealed: {error}")
        is_lost = isinstance(error, FileNotFoundError)
        fields = await self._report(
            incident, "not sealed", "" if is_lost else incident.name, str(error)
        )
        if is_lost:
            log.error(
                "bundle lost, its directory is gone bundle=%s: %s",
                incident.name,
                error,
                extra=fields,
            )
            self._cooldowns.give_back(incident.suppressed, incident.anomalies)
            return
        log.error(
            "bundle not sealed, tried again at each clean-up bundle=%s: %s",
            incident.name,
            error,
            extra=fields,
            exc_info=None if isinstance(error, OSError) else error,
        )

    def _cool_down(self, incident: Incident) -> None:
        now_ns = time.monotonic_ns()
        start = self._cooldowns.sealed if incident.is_open else self._cooldowns.refused
        for key, name in incident.keys.items():
            if name in self._config.guardian.anomalies:
                cooldown_ns = int(self._config.cooldown_sec(name) * SECOND_NS)
                start(key, cooldown_ns, now_ns)
