"""Once an interval: what is open now, for the detectors that judge it, and the ledger."""

import asyncio
import logging
import time
from typing import Protocol

from aod.events import Events
from aod.runtime.interval import Interval
from aod.runtime.supervisor import Component, Progress
from aod.service.losses import Losses
from aod.tracer.inflight import OpenRequests

log = logging.getLogger(__name__)


class Receiver(Protocol):
    """A stage that takes events; never waits."""

    def feed(self, events: Events) -> None:
        """Take a batch of shape (n,)."""


class OpenRequestReceiver(Receiver, Protocol):
    """The detectors."""

    def tick(self, open_requests: Events) -> None:
        """Take what is open now, shape (n,); never waits."""


class EventFanOut:
    """Hands each batch to the detectors, and to who keeps the names."""

    def __init__(self, *receivers: Receiver) -> None:
        self._receivers = receivers

    def feed(self, events: Events) -> None:
        """Hand a batch on."""
        if __debug__:
            delay_ms = (time.monotonic_ns() - int(events["time_ns"].min())) / 1e6
            log.debug("batch events=%d oldest_ms=%.1f", events.size, delay_ms)
        for receiver in self._receivers:
            receiver.feed(events)


class Scan:
    """Scans the open requests each interval; a component."""

    def __init__(
        self,
        open_requests: OpenRequests,
        detection: OpenRequestReceiver,
        events: EventFanOut,
        losses: Losses,
        interval: Interval,
    ) -> None:
        self._open_requests = open_requests
        self._detection = detection
        self._events = events
        self._losses = losses
        self._interval = interval
        self.component = Component("open requests", self.run)

    async def run(self, progress: Progress) -> None:
        """Hand on what is open, and once what cifs has given up, until cancelled."""
        while True:
            await self._interval.rest()
            with progress.busy():
                flight = await asyncio.to_thread(self._open_requests.read)
            if flight.given_up.size:
                self._events.feed(flight.given_up)
            self._detection.tick(flight.open)
            self._losses.note(flight.ledger)
