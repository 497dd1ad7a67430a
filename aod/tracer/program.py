"""The BPF object: loading, probes, filter, counters."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from aod.errors import TracerError
from aod.events import COMMANDS, COUNTER, COUNTER_KEY, REQUEST, REQUEST_KEY, Count
from aod.filter import Filter
from aod.tracer._libbpf import ffi, lib
from aod.tracer.ring import Ring

OBJECT = Path(str(resources.files("aod").joinpath("data/smb.bpf.o")))
MAX_REQUESTS = 40960
MAX_COUNTERS = 4096
"""Entries of the maps `inflight` and `counters` (bpf/smb.bpf.c)."""
ENDED_OWN = 256
"""Processes of aod that are remembered after their end: a request outlives who sent it."""
ALIVE_NS = np.iinfo(np.int64).max


def check(result: int, call: str) -> int:
    """Return the result of a libbpf call, or raise TracerError for its -errno."""
    if result < 0:
        message = ffi.string(lib.aod_messages()).decode(errors="replace").strip()
        detail = f" ({message.splitlines()[0]})" if message else ""
        raise TracerError(f"{call} failed{detail}", -result)
    return result


class Tracer:
    """The tracer of SMB requests, behind both tools, `smbslower` and `smbiosnoop`.

    Loads the object without attaching it; a context manager that takes everything out of
    the kernel at its end. All methods but `ring`'s block for up to a second: call them
    through asyncio.to_thread. cifs must be loaded, as its types are looked up in its BTF;
    `btf` names another BTF to look in. `optional` names programs to load that are off by
    default. Raises TracerError.
    """

    def __init__(
        self, path: Path = OBJECT, btf: Path | None = None, optional: tuple[str, ...] = ()
    ) -> None:
        self._map_fds: dict[str, int] = {}
        self._is_closed = False
        with ExitStack() as stack:
            lib.aod_forget_messages()
            self._object = lib.aod_open(os.fsencode(path), os.fsencode(btf) if btf else ffi.NULL)
            if not self._object:
                check(-ffi.errno, f"opening {path}")
            stack.callback(lib.bpf_object__close, self._object)
            for name in optional:
                check(lib.bpf_program__set_autoload(self._program(name), True), f"loading {name}")
            check(lib.bpf_object__load(self._object), f"loading {path.name}")
            self.ring = stack.enter_context(Ring(self._map("events")))
            self._attached = stack.enter_context(ExitStack())
            self._own_until_ns: dict[int, int] = {}
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # A thread that was left behind may still ask: it gets an error, not freed memory.
        self._is_closed = True
        self._stack.close()

    def attach(self) -> tuple[str, ...]:
        """Attach every loaded kprobe, the receiving end first; return the probes' names."""
        lib.aod_forget_messages()
        attached = []
        # A request that is seen leaving must be seen returning.
        for program in reversed(list(self._programs())):
            section = ffi.string(lib.bpf_program__section_name(program)).decode()
            if section.startswith("kprobe/") and lib.bpf_program__autoload(program):
                link = lib.bpf_program__attach(program)
                self._keep(link, f"attaching {section}")
                attached.append(section)
        return tuple(attached)

    def attach_uprobe(self, name: str, binary: Path, offset: int) -> None:
        """Attach one of the kprobe programs to a function of this process, for a test."""
        link = lib.bpf_program__attach_uprobe(
            self._program(name), False, os.getpid(), os.fsencode(binary), offset
        )
        self._keep(link, f"attaching {name} to {binary}")

    def detach(self) -> None:
        """Take the probes out; what is in the ring stays."""
        self._attached.close()

    def set_filter(self, wanted: Filter) -> None:
        """Tell the probes which operations to send."""
        thresholds = self._map("latency_thresholds")
        for index, threshold_ns in enumerate(wanted.thresholds_ns.reshape(2 * COMMANDS)):
            self._update(thresholds, "uint32_t", index, "uint64_t", int(threshold_ns))
        exceptions = self._map("status_exceptions")
        for status, commands in wanted.statuses.exceptions.items():
            self._update(exceptions, "uint32_t", status, "uint32_t", commands)
        self._update(
            self._map("send_failures"), "uint32_t", 0, "uint32_t", int(wanted.statuses.failures)
        )
        for status in self._keys(exceptions) - wanted.statuses.exceptions.keys():
            lib.bpf_map_delete_elem(exceptions, ffi.new("uint32_t *", status))

    @contextmanager
    def own(self, pid: int) -> Iterator[None]:
        """Flag the requests of a process as aod's own while the context lasts."""
        own_processes = self._map("own_processes")
        self._update(own_processes, "uint32_t", pid, "uint8_t", 1)
        self._own_until_ns[pid] = ALIVE_NS
        try:
            yield
        finally:
            lib.bpf_map_delete_elem(own_processes, ffi.new("uint32_t *", pid))
            del self._own_until_ns[pid]  # to stand last: the oldest is forgotten first
            self._own_until_ns[pid] = time.monotonic_ns()
            ended = [pid for pid, ns in self._own_until_ns.items() if ns != ALIVE_NS]
            for oldest in ended[:-ENDED_OWN]:
                del self._own_until_ns[oldest]

    @property
    def own_until_ns(self) -> Mapping[int, int]:
        """Until when each pid was a process of aod, ALIVE_NS while it is one; a copy."""
        return dict(self._own_until_ns)

    def ledger(self) -> dict[Count, int]:
        """Return the counters, summed over the CPUs."""
        per_cpu = ffi.new("uint64_t[]", lib.libbpf_num_possible_cpus())
        totals = {}
        for count in Count:
            key = ffi.new("uint32_t *", count)
            check(lib.bpf_map_lookup_elem(self._map("ledger"), key, per_cpu), "reading the ledger")
            totals[count] = sum(per_cpu)
        return totals

    def open_requests(self) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Return what is sent and unanswered: keys (n,) REQUEST_KEY, requests (n,) REQUEST."""
        return self._entries("inflight", MAX_REQUESTS, REQUEST_KEY, REQUEST)

    def forget(self, connection_id: int, message_id: int) -> None:
        """Take a request out of the map `inflight`; nothing when it is not there."""
        key = ffi.new("struct aod_request_key *", (connection_id, message_id))
        lib.bpf_map_delete_elem(self._map("inflight"), key)

    def counters(self) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Return what was counted since the load: keys (n,) COUNTER_KEY, counters (n,) COUNTER."""
        return self._entries("counters", MAX_COUNTERS, COUNTER_KEY, COUNTER)

    def waiting_threads(self) -> set[int]:
        """Return the ids of the threads that entered cifs and have sent nothing since."""
        return self._keys(self._map("waiting"))

    def run(self, name: str, context: bytes) -> int:
        """Run a `syscall` program on its C struct, given as bytes; return what it returns."""
        program_fd = lib.bpf_program__fd(self._program(name))
        buffer = ffi.from_buffer(bytearray(context))
        return check(lib.aod_run(program_fd, buffer, len(context)), f"running {name}")

    def _programs(self) -> Iterator[Any]:
        program = lib.bpf_object__next_program(self._object, ffi.NULL)
        while program:
            yield program
            program = lib.bpf_object__next_program(self._object, program)

    def _program(self, name: str) -> Any:
        program = lib.bpf_object__find_program_by_name(self._object, name.encode())
        if not program:
            raise TracerError(f"the BPF object has no program {name}")
        return program

    def _map(self, name: str) -> int:
        if self._is_closed:
            raise TracerError("the tracer is closed")
        if name not in self._map_fds:
            found = lib.bpf_object__find_map_fd_by_name(self._object, name.encode())
            self._map_fds[name] = check(found, f"finding the map {name}")
        return self._map_fds[name]

    def _keep(self, link: Any, call: str) -> None:
        if not link:
            check(-ffi.errno, call)
        self._attached.callback(lib.bpf_link__destroy, link)

    def _entries(
        self, name: str, capacity: int, key: np.dtype[np.void], value: np.dtype[np.void]
    ) -> tuple[NDArray[np.void], NDArray[np.void]]:
        keys, values = np.empty(capacity, key), np.empty(capacity, value)
        pointers = ffi.from_buffer(keys), ffi.from_buffer(values)
        count = check(
            lib.aod_map_entries(self._map(name), *pointers, capacity), f"reading the map {name}"
        )
        return keys[:count].copy(), values[:count].copy()

    @staticmethod
    def _update(map_fd: int, key_type: str, key: int, value_type: str, value: int) -> None:
        pointers = ffi.new(f"{key_type} *", key), ffi.new(f"{value_type} *", value)
        check(lib.bpf_map_update_elem(map_fd, *pointers, 0), "setting the filter")

    @staticmethod
    def _keys(map_fd: int) -> set[int]:
        keys, key, following = set(), ffi.NULL, ffi.new("uint32_t *")
        while lib.bpf_map_get_next_key(map_fd, key, following) == 0:
            keys.add(following[0])
            key = ffi.new("uint32_t *", following[0])
        return keys


def libbpf_version() -> str:
    """Return the version of the libbpf in use, such as "v1.1"."""
    return str(ffi.string(lib.libbpf_version_string()).decode())
