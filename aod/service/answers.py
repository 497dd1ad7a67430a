"""What the service answers over its socket, and what it does for who asks."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aod.control import Route
from aod.errors import ServiceError
from aod.incidents.incidents import Incidents
from aod.service.collect import OnRequest
from aod.tracer.follower import Follower
from aod.tracer.ledger import Ledger

MAX_REASON_CHARS = 1000
COLLECT_S = 3600.0
"""More than all actions take one after the other, each as long as the config may allow."""


class Answers:
    """Answers from the stages of a service; `about` tells what it says of itself."""

    def __init__(
        self,
        about: Callable[[], dict[str, Any]],
        lost: Callable[[Ledger], dict[str, int]],
        on_request: OnRequest,
        tracer: Follower,
        incidents: Incidents,
        output: Path,
    ) -> None:
        self._about = about
        self._lost = lost
        self._on_request = on_request
        self._tracer = tracer
        self._incidents = incidents
        self._output = output

    def routes(self) -> dict[str, Route]:
        """Return what answers each request."""
        return {
            "status": Route(self._status),
            "sample": Route(self._sample),
            "suppressed": Route(self._suppressed),
            "tracer": Route(self._describe_tracer),
            "collect": Route(self._collect, COLLECT_S),
        }

    async def _status(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return self._about()

    async def _sample(self, options: Mapping[str, Any]) -> dict[str, Any]:
        taken = await asyncio.to_thread(self._tracer.sample)
        return {**taken.as_dict(), "attached": self._tracer.tracer is not None}

    async def _suppressed(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return {"suppressed": [asdict(each.described()) for each in self._incidents.held_back]}

    async def _describe_tracer(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Tell what is attached now (empty without cifs), the books, and what was lost."""
        probes = await asyncio.to_thread(self._tracer.describe_probes)
        ledger = await asyncio.to_thread(self._tracer.ledger)
        return {**probes, "ledger": asdict(ledger), "lost": self._lost(ledger)}

    async def _collect(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Open an incident, or join the one that is being collected; wait for its bundle."""
        reason = options.get("reason", "")
        if not isinstance(reason, str) or len(reason) > MAX_REASON_CHARS:
            raise ServiceError(f"the reason is a text of at most {MAX_REASON_CHARS} characters")
        manual = await self._on_request.anomaly(reason)
        outcome = self._incidents.outcomes.expect(manual)
        self._on_request.send(manual)
        return {"bundle": str(self._output / await outcome)}
