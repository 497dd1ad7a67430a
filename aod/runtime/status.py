"""What the service manager and those who ask are told of the service: its condition in a line."""

import time
from collections.abc import Callable, Mapping, Sequence

from aod.runtime import systemd
from aod.runtime.counts import Tally
from aod.text import plural


class Status:
    """Knows how the service is, and tells systemd of each change of its state.

    `lost` is what went unseen since the start, by kind; `switched_off` names the components that
    were given up, `output` tells why nothing can be written, "" when all is well.
    """

    def __init__(
        self,
        tally: Tally,
        switched_off: Callable[[], Sequence[str]],
        output: Callable[[], str] = str,
    ) -> None:
        self.is_ready = False
        self.lost: Mapping[str, int] = {}
        self._tally = tally
        self._switched_off = switched_off
        self._output = output
        self._condition = "starting"
        self._complaint = ""

    def __str__(self) -> str:
        """Return the line that `systemctl status` shows."""
        parts = [
            self._condition,
            plural(self._tally.incidents.total(), "incident"),
            f"{sum(self.lost.values())} lost",
            f"last bundle {self._tally.last_bundle or 'none'}",
        ]
        return "; ".join((*parts, *self.complaints))

    @property
    def complaints(self) -> tuple[str, ...]:
        """What is not as it should be, and stays so until somebody mends it."""
        names = ", ".join(self._switched_off())
        off = f"switched off: {names}" if names else ""
        return tuple(text for text in (off, self._output(), self._complaint) if text)

    def ready(self, condition: str) -> None:
        """Tell that the service works, and how."""
        self._condition, self.is_ready = condition, True
        systemd.notify(f"READY=1\nSTATUS={self}")

    def reloading(self) -> None:
        """Tell that the config is being read anew; `reloaded` has to follow."""
        systemd.notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def reloaded(self, complaint: str = "") -> None:
        """Tell that the service works by the new config, or by the old one for this reason."""
        self._complaint = complaint
        systemd.notify(f"READY=1\nSTATUS={self}")

    def stopping(self) -> None:
        """Tell that the service ends."""
        systemd.notify("STOPPING=1\nSTATUS=finishing open bundles")
