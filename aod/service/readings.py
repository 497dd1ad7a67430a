"""What the metrics and those who ask are told of a service that runs."""

import os
from dataclasses import asdict
from typing import Any

from aod.bundle import OutputDirectory
from aod.metrics import Reading
from aod.runtime.counts import Tally
from aod.runtime.status import Status
from aod.service.losses import Losses
from aod.service.reload import ActiveConfig
from aod.smb.names import Names
from aod.tracer.follower import Follower


class Readings:
    """Reads what the metrics are made of."""

    def __init__(
        self, active: ActiveConfig, tracer: Follower, names: Names, losses: Losses, tally: Tally
    ) -> None:
        self._active = active
        self._tracer = tracer
        self._names = names
        self._losses = losses
        self._tally = tally

    def read(self) -> Reading:
        """Return what is known now; blocks."""
        sample, ledger = self._tracer.sample(), self._tracer.ledger()
        # After the sample, so that what it holds has a name.
        self._names.refresh()
        tracer = self._tracer.tracer
        return Reading(
            sample,
            asdict(ledger),
            self._losses.beside(ledger),
            self._tally,
            list(self._active.config.guardian.anomalies),
            tracer.rung.number if tracer else 0,
            len(tracer.attached) if tracer else 0,
        )


class About:
    """Tells what those who ask over the socket are told first."""

    def __init__(self, active: ActiveConfig, output: OutputDirectory, status: Status) -> None:
        self._active = active
        self._output = output
        self._status = status

    def tell(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "pid": os.getpid(),
            "output": str(self._output.path),
            "config_sha256": self._active.config.fingerprint(),
            "status": str(self._status),
            "complaints": self._status.complaints,
        }
