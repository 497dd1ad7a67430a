"""Who waits for an anomaly's bundle, and what became of it."""

import asyncio
from collections.abc import Hashable

from aod.detectors.anomaly import Anomaly
from aod.errors import BundleError


class BundleWaiters:
    """Hands the name of a sealed bundle, or why there is none, to those who wait for it.

    An incident is known by what stands for it, as an anomaly may be merged with others there.
    """

    def __init__(self) -> None:
        self._expected: dict[int, asyncio.Future[str]] = {}
        """By when the anomaly was raised."""
        self._of_incident: dict[Hashable, list[asyncio.Future[str]]] = {}

    def expect(self, anomaly: Anomaly) -> asyncio.Future[str]:
        """Return what becomes the name of the sealed bundle; it fails with BundleError."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._expected[anomaly.raised_ns] = future
        return future

    def taken(self, anomaly: Anomaly, incident: Hashable) -> None:
        """Note that the bundle of this incident is that of the anomaly."""
        if future := self._expected.pop(anomaly.raised_ns, None):
            self._of_incident.setdefault(incident, []).append(future)

    def refused(self, anomaly: Anomaly) -> None:
        """Report that there will be no bundle of an anomaly, unless it was taken."""
        if future := self._expected.pop(anomaly.raised_ns, None):
            _fail(future, "no incident was opened (see the service's log)")

    def sealed(self, incident: Hashable, name: str) -> None:
        """Report the name of the sealed bundle."""
        for future in self._of_incident.pop(incident, []):
            if not future.done():
                future.set_result(name)

    def failed(self, incident: Hashable, reason: str) -> None:
        """Report why there is no sealed bundle of an incident."""
        for future in self._of_incident.pop(incident, []):
            _fail(future, reason)


def _fail(future: asyncio.Future[str], reason: str) -> None:
    if not future.done():
        future.set_exception(BundleError(reason))
