"""What the service manager is sent while all is well: STATUS, and WATCHDOG=1 by real progress."""

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Protocol

from aod.runtime import systemd
from aod.runtime.interval import Interval

log = logging.getLogger(__name__)

FEED_PARTS = 3
"""The watchdog is fed three times in its time, as sd_watchdog_enabled(3) advises two or more."""


class Components(Protocol):
    """The supervisor."""

    @property
    def late(self) -> Sequence[str]:
        """The names of the components that make no progress."""


class Watchdog:
    """Feeds systemd's watchdog, unless a component is late or the loop itself was.

    `status` as text is the line for `systemctl status`, sent whenever it changes.
    """

    def __init__(
        self,
        status: object,
        components: Components,
        interval: Interval,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._status = status
        self._components = components
        self._interval = interval
        self._limit_s = limit_s(environ, os.getpid())
        self._sent = ""
        self._fed_s: float | None = None
        self._blamed: tuple[str, ...] = ()

    async def run(self) -> None:
        """Check each interval until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + self._period_s(self._interval.seconds)
            await asyncio.sleep(due_s - loop.time())
            self.check(loop.time(), loop.time() - due_s)

    def check(self, now_s: float, overdue_s: float) -> None:
        """Send what has changed, and feed when it is time; `overdue_s` is how late the loop is."""
        self.send_status()
        if self._limit_s is None or not self._is_well(overdue_s):
            return
        if self._fed_s is None or now_s - self._fed_s >= self._limit_s / FEED_PARTS:
            systemd.notify("WATCHDOG=1")
            self._fed_s = now_s

    def send_status(self) -> None:
        """Send STATUS when it is another than the last."""
        status = str(self._status)
        if status != self._sent:
            systemd.notify(f"STATUS={status}")
            self._sent = status

    def _period_s(self, interval_s: float) -> float:
        """Return how long to wait: a long interval must not starve the watchdog."""
        return min(interval_s, (self._limit_s or interval_s) / FEED_PARTS)

    def _is_well(self, overdue_s: float) -> bool:
        assert self._limit_s is not None
        late = tuple(self._components.late)
        if late != self._blamed:
            log.log(
                logging.ERROR if late else logging.INFO,
                "components make no progress, the watchdog is not fed: %s",
                ", ".join(late) or "none any more",
            )
            self._blamed = late
        if overdue_s > self._limit_s / 2:
            log.error("the event loop was held up seconds=%.1f", overdue_s)
            return False
        return not late


def limit_s(environ: Mapping[str, str], pid: int) -> float | None:
    """Return the watchdog's time, None where systemd wants none of this process."""
    try:
        limit_us = int(environ.get("WATCHDOG_USEC", "0"))
        wanted_pid = int(environ.get("WATCHDOG_PID", pid))
    except ValueError:
        return None
    return limit_us / 1e6 if limit_us > 0 and wanted_pid == pid else None
