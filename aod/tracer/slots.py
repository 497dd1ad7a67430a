"""The map `slots`, in which the probes keep nearly every open request."""

import numpy as np
from numpy.typing import NDArray

from aod.tracer.maps import MappedMap

NO_MESSAGE = np.iinfo(np.uint64).max


class Slots:
    """Reads the map in place."""

    def __init__(self, slots: MappedMap) -> None:
        self._map = slots

    def open_requests(self) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Return what is open: keys (n,) REQUEST_KEY, requests (n,) REQUEST."""
        records = self._map.records
        taken = np.flatnonzero(records["claims"])
        slots = records[taken]
        # One that changed hands meanwhile was read half and half; one that is just claimed
        # has no request at first, and later NO_MESSAGE (bpf/inflight.h).
        whole = records["key"][taken] == slots["key"]
        whole &= slots["request"]["sent_ns"] != 0
        whole &= slots["key"]["message_id"] != NO_MESSAGE
        return slots["key"][whole], slots["request"][whole]

    def clear(self, connection_id: int, message_id: int) -> bool:
        """Free the slot that holds a request; return whether there was one."""
        records = self._map.records
        keys = records["key"]
        holds = records["claims"] != 0
        holds &= (keys["connection_id"] == connection_id) & (keys["message_id"] == message_id)
        if not holds.any():
            return False
        self._map.write(int(holds.argmax()), {})
        return True
