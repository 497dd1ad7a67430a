"""The map `slots`, in which the probes keep nearly every open request."""

import mmap

import numpy as np
from numpy.typing import NDArray

from aod.events import SLOT, SLOTS

NO_MESSAGE = np.iinfo(np.uint64).max


class Slots:
    """Reads the map in place: no call into the kernel, and nothing held up there."""

    def __init__(self, map_fd: int) -> None:
        size = SLOTS * SLOT.itemsize
        # Not closed here: a thread that still reads keeps it, and the last one frees it.
        memory = mmap.mmap(map_fd, size, mmap.MAP_SHARED, mmap.PROT_READ)
        self._slots = np.frombuffer(memory, SLOT)

    def open_requests(self) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Return what is open: keys (n,) REQUEST_KEY, requests (n,) REQUEST."""
        taken = np.flatnonzero(self._slots["claims"])
        slots = self._slots[taken]
        # One that changed hands meanwhile was read half and half; one that is just claimed
        # has no request at first, and later NO_MESSAGE (bpf/inflight.h).
        whole = self._slots["key"][taken] == slots["key"]
        whole &= slots["request"]["sent_ns"] != 0
        whole &= slots["key"]["message_id"] != NO_MESSAGE
        return slots["key"][whole], slots["request"][whole]

    def index_of(self, connection_id: int, message_id: int) -> int | None:
        """Return the slot that holds a request, or None."""
        keys = self._slots["key"]
        holds = self._slots["claims"] != 0
        holds &= (keys["connection_id"] == connection_id) & (keys["message_id"] == message_id)
        return int(holds.argmax()) if holds.any() else None
