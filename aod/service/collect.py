"""A bundle that somebody asks for, over the socket or by SIGUSR1."""

import asyncio
import time
from dataclasses import replace

from aod.clock import wall_offset_ns
from aod.detectors.anomaly import Anomaly, AnomalyType, keep_evidence
from aod.detectors.detection import waiting_threads
from aod.runtime.queue import Queue
from aod.runtime.supervisor import Progress
from aod.tracer.inflight import OpenRequests


class ManualCollection:
    """Raises the anomaly of a bundle that somebody wants: what is open now is its evidence."""

    def __init__(self, open_requests: OpenRequests, anomalies: Queue[Anomaly]) -> None:
        self._open_requests = open_requests
        self._anomalies = anomalies

    async def run(self, asked: asyncio.Event, _: Progress) -> None:
        """Raise one whenever the event is set, until cancelled."""
        while True:
            await asked.wait()
            asked.clear()
            self.send(await self.anomaly("SIGUSR1"))

    async def anomaly(self, reason: str) -> Anomaly:
        """Return it, with the requests that are open and the threads that wait for them."""
        events = await asyncio.to_thread(self._open_requests.waiting)
        manual = Anomaly(
            AnomalyType.MANUAL,
            "manual",
            time.monotonic_ns(),
            count=events.size,
            events=keep_evidence(events),
            reason=reason,
        )
        found = replace(manual, threads=await waiting_threads(manual))
        return found.stamped(wall_offset_ns())

    def send(self, anomaly: Anomaly) -> None:
        """Hand it to the incidents; never waits."""
        self._anomalies.send(anomaly)
