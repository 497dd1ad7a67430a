"""What the service answers over its socket, and what it does for who asks."""

import asyncio

from aod.bundle import OutputDirectory
from aod.control import Options, Route
from aod.control.answers import (
    CollectAnswer,
    SampleAnswer,
    StatusAnswer,
    SuppressedAnswer,
    TracerAnswer,
)
from aod.errors import ServiceError
from aod.incidents.incidents import Incidents
from aod.service.collect import ManualCollection
from aod.service.losses import Losses
from aod.service.readings import ServiceStatus
from aod.smb.names import Names
from aod.tracer.watcher import ModuleWatcher

MAX_REASON_CHARS = 1000
COLLECT_S = 3600.0
"""More than all actions take one after the other, each as long as the config may allow."""


class AnswerRoutes:
    """What answers each request on the control socket, from the stages of the service."""

    def __init__(
        self,
        service_status: ServiceStatus,
        losses: Losses,
        names: Names,
        manual_collection: ManualCollection,
        tracer: ModuleWatcher,
        incidents: Incidents,
        output: OutputDirectory,
    ) -> None:
        self._service_status = service_status
        self._losses = losses
        self._names = names
        self._manual_collection = manual_collection
        self._tracer = tracer
        self._incidents = incidents
        self._output = output

    def routes(self) -> dict[str, Route]:
        """Return what answers each request."""
        return {
            StatusAnswer.REQUEST: Route(self._status),
            SampleAnswer.REQUEST: Route(self._sample),
            SuppressedAnswer.REQUEST: Route(self._suppressed),
            TracerAnswer.REQUEST: Route(self._describe_tracer),
            CollectAnswer.REQUEST: Route(self._collect, COLLECT_S),
        }

    async def _status(self, options: Options) -> StatusAnswer:
        return self._service_status.answer()

    async def _sample(self, options: Options) -> SampleAnswer:
        return await asyncio.to_thread(self._take_sample)

    def _take_sample(self) -> SampleAnswer:
        taken = self._tracer.sample()
        trees = {key[:2] for key in taken.counters.keys() | taken.in_flight.keys()}
        attached = self._tracer.tracer is not None
        return SampleAnswer.of(taken, self._names.of_trees(trees), attached)

    async def _suppressed(self, options: Options) -> SuppressedAnswer:
        held_back = self._incidents.held_back
        return SuppressedAnswer(tuple(each.described() for each in held_back))

    async def _describe_tracer(self, options: Options) -> TracerAnswer:
        attached = await asyncio.to_thread(self._tracer.describe_probes)
        ledger = await asyncio.to_thread(self._tracer.ledger)
        return TracerAnswer.of(ledger, self._losses.beside(ledger), attached)

    async def _collect(self, options: Options) -> CollectAnswer:
        """Open an incident, or join the one that is being collected; wait for its bundle."""
        reason = options.get("reason", "")
        if not isinstance(reason, str) or len(reason) > MAX_REASON_CHARS:
            raise ServiceError(f"the reason is a text of at most {MAX_REASON_CHARS} characters")
        manual = await self._manual_collection.anomaly(reason)
        outcome = self._incidents.waiters.expect(manual)
        self._manual_collection.send(manual)
        return CollectAnswer(str(self._output.path / await outcome))
