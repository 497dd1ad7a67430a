"""Incidents: from an anomaly to a sealed bundle, and quiet after it."""

import asyncio
import logging
import time

from aod.actions.runner import Runner
from aod.bundle import OutputDirectory
from aod.channel import Channel
from aod.config import Config
from aod.cooldown import Cooldowns
from aod.detectors.anomaly import Anomaly
from aod.incident import Incident, Surroundings

log = logging.getLogger(__name__)

SECOND_NS = 1_000_000_000


class Incidents:
    """Opens an incident for an anomaly, lets others join it, and keeps the peace after it."""

    def __init__(
        self, config: Config, output: OutputDirectory, runner: Runner, surroundings: Surroundings
    ) -> None:
        self._config = config
        self._output = output
        self._runner = runner
        self._surroundings = surroundings
        self._cooldowns = Cooldowns(
            int(config.incidents.max_cooldown_sec * SECOND_NS),
            config.incidents.max_bundles_per_hour,
        )
        self._collecting: Incident | None = None
        self._grace_s: float | None = None

    async def run(self, anomalies: Channel[Anomaly]) -> None:
        """Handle anomalies until the channel is closed and every incident is sealed."""
        async with asyncio.TaskGroup() as group:
            async for anomaly in anomalies:
                self._take(anomaly, group)
        for held_back in self._cooldowns.take_suppressed():
            log.info("held back until the end anomaly=%s count=%d", held_back.name, held_back.count)

    def hurry(self, grace_s: float) -> None:
        """End the incident that is being collected, and any later one, within `grace_s`."""
        self._grace_s = grace_s
        if self._collecting:
            self._collecting.hurry(grace_s)

    def _take(self, anomaly: Anomaly, group: asyncio.TaskGroup) -> None:
        if self._collecting and self._collecting.join(anomaly):
            return
        objection = self._cooldowns.admit(anomaly, time.monotonic_ns())
        if objection:
            log.debug("anomaly held back name=%s: %s", anomaly.key, objection)
            return
        self._collecting = Incident(
            anomaly,
            self._config,
            self._runner,
            self._surroundings,
            self._cooldowns.take_suppressed(),
        )
        log.info(
            "incident opened anomaly=%s count=%d emergency=%s",
            anomaly.name,
            anomaly.count,
            anomaly.emergency,
        )
        if self._grace_s is not None:
            self._collecting.hurry(self._grace_s)
        group.create_task(self._finish(self._collecting), name=f"incident {anomaly.timestamp}")

    async def _finish(self, incident: Incident) -> None:
        """Collect and seal; a disk that refuses costs this bundle, never the service."""
        try:
            await incident.collect(self._output)
        except OSError as error:
            log.error("bundle not opened anomaly=%s: %s", incident.first.name, error)
            self._cooldowns.give_back(incident.suppressed, incident.anomalies)
            return
        finally:
            if self._collecting is incident:
                self._collecting = None
            self._cool_down(incident)
        try:
            name = await incident.seal()
        except OSError as error:
            log.error("bundle not sealed, tried again at the next start: %s", error)
            return
        log.info("bundle sealed file=%s", self._output.path / name)

    def _cool_down(self, incident: Incident) -> None:
        now_ns = time.monotonic_ns()
        for key, name in incident.keys.items():
            if name in self._config.guardian.anomalies:
                cooldown_ns = int(self._config.cooldown_sec(name) * SECOND_NS)
                self._cooldowns.sealed(key, cooldown_ns, now_ns)
