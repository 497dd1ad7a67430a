"""What stands in the place of a tracer while cifs is not loaded."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from aod.events import COUNTER, COUNTER_KEY, REQUEST, REQUEST_KEY, WAIT, Count, Events, empty
from aod.smb.filter import Filter


class AbsentRing:
    """A ring that holds nothing."""

    def read(self) -> Events:
        """Return no events."""
        return empty()


class AbsentTracer:
    """Has nothing attached, has counted nothing, and does nothing; see Tracer."""

    rung = None
    refusals: tuple[str, ...] = ()
    missing: Mapping[str, str] = {}
    pins = 0
    counter_capacity = 0
    ring = AbsentRing()

    def set_filter(self, wanted: Filter) -> None:
        """Send nothing, whatever is wanted."""

    def pin(self) -> None:
        """Attach nothing."""

    def unpin(self) -> None:
        """Take nothing out."""

    def detach(self) -> None:
        """Take nothing out."""

    def close(self) -> None:
        """Take nothing out."""

    def counts(self) -> dict[Count, int]:
        """Return zeros."""
        return dict.fromkeys(Count, 0)

    def skipped(self) -> int:
        """Return zero."""
        return 0

    def open_requests(self) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Return none: REQUEST_KEY, REQUEST."""
        return np.empty(0, REQUEST_KEY), np.empty(0, REQUEST)

    def threads(self) -> tuple[NDArray[np.uint32], NDArray[np.void]]:
        """Return none: their ids, WAIT."""
        return np.empty(0, np.uint32), np.empty(0, WAIT)

    def counters(self) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Return none: COUNTER_KEY, COUNTER."""
        return np.empty(0, COUNTER_KEY), np.empty(0, COUNTER)

    def drop_counters(self, keys: Iterable[tuple[int, int, int]]) -> None:
        """Drop nothing."""

    def forget(self, connection_id: int, message_id: int) -> bool:
        """Return that it was not there."""
        return False
