"""The maps of a loaded object, through which user space and the probes exchange data."""

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aod.errors import TracerError
from aod.events import LEDGER_ROW, SLOT
from aod.tracer._libbpf import ffi, lib
from aod.tracer.libbpf import check


class Map:
    """One map by its name, with the C types of its keys and values; raises TracerError."""

    def __init__(
        self, bpf_object: Any, name: str, key: str = "uint32_t", value: str = "uint64_t"
    ) -> None:
        found = lib.bpf_object__find_map_by_name(bpf_object, name.encode())
        if not found:
            raise TracerError(f"the BPF object has no map {name}")
        self.capacity = int(lib.bpf_map__max_entries(found))
        """How many entries it has room for; of a ring its bytes."""
        self._name = name
        self._fd = int(lib.bpf_map__fd(found))
        self._key, self._value = f"{key} *", f"{value} *"
        self._is_closed = False

    @property
    def fd(self) -> int:
        """Its descriptor; raises TracerError once the object is closed."""
        # A thread that was left behind may still ask: it gets an error, not another's file.
        if self._is_closed:
            raise TracerError("the tracer is closed")
        return self._fd

    def close(self) -> None:
        """Refuse what is asked from now on; the descriptor is the object's."""
        self._is_closed = True

    def write(self, key: object, value: object) -> None:
        """Set an entry; key and value are what initializes their C types."""
        pointers = ffi.new(self._key, key), ffi.new(self._value, value)
        check(lib.aod_map_update(self.fd, *pointers), f"writing to the map {self._name}")

    def delete(self, key: object) -> bool:
        """Take an entry out and return whether it was there."""
        return bool(lib.aod_map_delete(self.fd, ffi.new(self._key, key)) == 0)

    def keys(self) -> set[int]:
        """Return the keys of a map in which they are numbers."""
        keys, key, following = set(), ffi.NULL, ffi.new(self._key)
        while lib.bpf_map_get_next_key(self.fd, key, following) == 0:
            keys.add(following[0])
            key = ffi.new(self._key, following[0])
        return keys

    def entries(
        self, key: np.dtype[Any], value: np.dtype[np.void]
    ) -> tuple[NDArray[Any], NDArray[np.void]]:
        """Return all of a hash: keys (n,) and values (n,) of these types."""
        keys, values = np.empty(self.capacity, key), np.empty(self.capacity, value)
        pointers = ffi.from_buffer(keys), ffi.from_buffer(values)
        copied = lib.aod_map_entries(self.fd, *pointers, self.capacity)
        count = check(copied, f"reading the map {self._name}")
        return keys[:count].copy(), values[:count].copy()


class MappedMap(Map):
    """An array that is read in place: no call into the kernel, and nothing held up there."""

    def __init__(self, bpf_object: Any, name: str, value: str, dtype: np.dtype[np.void]) -> None:
        super().__init__(bpf_object, name, value=value)
        size = self.capacity * dtype.itemsize
        memory = mmap.mmap(self.fd, size, mmap.MAP_SHARED, mmap.PROT_READ)
        self._records = np.frombuffer(memory, dtype)

    def close(self) -> None:
        """Let go of the memory: a thread that still reads keeps it, and the last one frees it."""
        super().close()
        self._records = np.empty(0, self._records.dtype)

    @property
    def records(self) -> NDArray[np.void]:
        """All entries, (capacity,), which change while they are read."""
        if self._is_closed:
            raise TracerError("the tracer is closed")
        return self._records


class Maps:
    """What of the maps in bpf/ user space reads or writes."""

    def __init__(self, bpf_object: Any) -> None:
        self.events = Map(bpf_object, "events")
        self.ledger = MappedMap(bpf_object, "ledger", "struct aod_ledger_row", LEDGER_ROW)
        self.slots = MappedMap(bpf_object, "slots", "struct aod_slot", SLOT)
        self.inflight = Map(bpf_object, "inflight", "struct aod_request_key", "struct aod_request")
        self.waiting = Map(bpf_object, "waiting", value="struct aod_wait")
        self.counters = Map(bpf_object, "counters", "struct aod_counter_key", "struct aod_counter")
        self.settings = Map(bpf_object, "settings", value="uint32_t")
        self.latency_thresholds = Map(bpf_object, "latency_thresholds")
        self.local_errors = Map(bpf_object, "local_errors")
        self.status_exceptions = Map(bpf_object, "status_exceptions", value="struct aod_commands")
        self.own_processes = Map(bpf_object, "own_processes", value="uint8_t")

    def close(self) -> None:
        """Refuse what is asked from now on."""
        for each in vars(self).values():
            each.close()
