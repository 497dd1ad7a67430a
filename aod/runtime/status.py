"""The condition of the service in a line: for the service manager and for those who ask."""

import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from aod.runtime import systemd
from aod.runtime.counts import ServiceCounts
from aod.text import plural


class Components(Protocol):
    """The supervisor."""

    @property
    def switched_off(self) -> Sequence[str]:
        """The names of the components that were given up."""


class Output(Protocol):
    """The output directory."""

    complaint: str
    """Why nothing can be written, "" when all is well."""


class Losses(Protocol):
    """What went unseen."""

    known: Mapping[str, int]
    """Since the start, by what was lost."""


class Status:
    """Knows how the service is, and notifies systemd of each change of its state."""

    def __init__(
        self, service_counts: ServiceCounts, components: Components, output: Output, losses: Losses
    ) -> None:
        self.is_ready = False
        self._service_counts = service_counts
        self._components = components
        self._output = output
        self._losses = losses
        self._condition = "starting"
        self._complaint = ""

    def __str__(self) -> str:
        """Return the line that `systemctl status` shows."""
        parts = [
            self._condition,
            plural(self._service_counts.incidents.total(), "incident"),
            f"{sum(self._losses.known.values())} lost",
            f"last bundle {self._service_counts.last_bundle or 'none'}",
        ]
        return "; ".join((*parts, *self.complaints))

    @property
    def complaints(self) -> tuple[str, ...]:
        """What is not as it should be, and stays so until somebody mends it."""
        names = ", ".join(self._components.switched_off)
        off = f"switched off: {names}" if names else ""
        return tuple(text for text in (off, self._output.complaint, self._complaint) if text)

    def ready(self, condition: str) -> None:
        """Report that the service works, and how."""
        self._condition, self.is_ready = condition, True
        systemd.notify(f"READY=1\nSTATUS={self}")

    def reloading(self) -> None:
        """Report that the config is being read anew; `reloaded` has to follow."""
        systemd.notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def reloaded(self, complaint: str = "") -> None:
        """Report that the service works by the new config, or by the old one for this reason."""
        self._complaint = complaint
        systemd.notify(f"READY=1\nSTATUS={self}")

    def stopping(self) -> None:
        """Report that the service ends."""
        systemd.notify("STOPPING=1\nSTATUS=finishing open bundles")
