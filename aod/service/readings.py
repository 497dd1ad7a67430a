"""What a running service reports to the metrics and to those who ask."""

import os
from dataclasses import asdict

from aod.bundle import OutputDirectory
from aod.bundle.describe import describe_versions
from aod.control.answers import StatusAnswer
from aod.metrics import Reading
from aod.runtime.counts import ServiceCounts
from aod.runtime.status import Status
from aod.service.losses import Losses
from aod.service.reload import ActiveConfig
from aod.smb.names import Names
from aod.tracer.libbpf import libbpf_version
from aod.tracer.watcher import ModuleWatcher


class Readings:
    """Reads what the metrics are made of."""

    def __init__(
        self,
        active: ActiveConfig,
        tracer: ModuleWatcher,
        names: Names,
        losses: Losses,
        service_counts: ServiceCounts,
    ) -> None:
        self._active = active
        self._tracer = tracer
        self._names = names
        self._losses = losses
        self._service_counts = service_counts

    def read(self) -> Reading:
        """Return what is known now; blocks."""
        sample, ledger = self._tracer.sample(), self._tracer.ledger()
        # After the sample, so that what it holds has a name.
        self._names.refresh()
        tracer = self._tracer.tracer
        return Reading(
            sample,
            ledger,
            self._losses.beside(ledger),
            self._service_counts,
            list(self._active.config.guardian.anomalies),
            tracer.rung.number if tracer else 0,
            len(tracer.attached) if tracer else 0,
        )


class ServiceStatus:
    """Answers what those who connect to the socket ask first."""

    def __init__(self, active: ActiveConfig, output: OutputDirectory, status: Status) -> None:
        self._active = active
        self._output = output
        self._status = status

    def answer(self) -> StatusAnswer:
        """Return the status as it is now."""
        return StatusAnswer(
            os.getpid(),
            str(self._output.path),
            self._active.config.fingerprint(),
            str(self._status),
            self._status.complaints,
        )


def versions() -> dict[str, str]:
    """Return the versions of what runs; blocks."""
    return asdict(describe_versions(libbpf_version()))
