"""The component that follows cifs, and what is logged of its probes."""

import logging
from pathlib import Path

from aod.runtime.audit import Audit
from aod.runtime.interval import Interval
from aod.runtime.status import Status
from aod.runtime.supervisor import Component, Progress
from aod.service.scan import EventFanOut
from aod.tracer.program import Tracer
from aod.tracer.watcher import ModuleWatcher

log = logging.getLogger(__name__)

LOAD_S = 300.0
"""What the load of the probes may take."""


class Attachment:
    """Has the tracer follow cifs; logs and audits each change, and says that aod is ready."""

    def __init__(
        self,
        tracer: ModuleWatcher,
        events: EventFanOut,
        interval: Interval,
        audit: Audit,
        status: Status,
        output: Path,
    ) -> None:
        self._tracer = tracer
        self._events = events
        self._interval = interval
        self._audit = audit
        self._status = status
        self._output = output
        self._is_attached = False
        self.component = Component(
            "tracer", self.run, progress=Progress(LOAD_S), is_hopeless=self._is_hopeless
        )

    async def run(self, progress: Progress) -> None:
        """Follow cifs until cancelled; raises TracerError when the probes cannot be attached."""
        await self._tracer.run(self._interval, self._events.feed, self._changed, progress.busy)

    def _is_hopeless(self, error: Exception) -> bool:
        """Return whether no other start mends a failure: before the service is ready, none does."""
        return not self._status.is_ready

    async def finish(self) -> None:
        """Take the probes out and hand on what is left in the ring."""
        await self._tracer.finish(self._events.feed)
        self._audit.record("detach", reason="aod ends")

    def _changed(self, tracer: Tracer | None) -> None:
        """Take note of a tracer that was attached, or of None: cifs is not there."""
        if self._is_attached:
            reason = "attached anew" if tracer else "cifs was unloaded"
            self._audit.record("detach", reason=reason)
        self._is_attached = tracer is not None
        if tracer:
            self._attached(tracer)
            return
        log.warning("cifs is not loaded: waiting for it (modprobe cifs, or mount a share)")
        self._status.ready("waiting for cifs to be loaded")

    def _attached(self, tracer: Tracer) -> None:
        self._audit.record("attach", rung=tracer.rung.number, programs=tracer.attached)
        for reason in tracer.refusals:
            log.warning("degraded: %s", reason)
        log.info(
            "attached rung=%d probes=%d missing=%s output=%s",
            tracer.rung.number,
            len(tracer.attached),
            ",".join(tracer.missing) or "none",
            self._output,
        )
        self._status.ready("watching SMB operations")
