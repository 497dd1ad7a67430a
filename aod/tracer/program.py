"""The BPF object: loading it, attaching its probes, its filter and its maps."""

import os
from collections.abc import Collection, Iterable
from contextlib import ExitStack, closing
from importlib import resources
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from aod.errors import TracerError
from aod.events import (
    COMMANDS,
    COUNTER,
    COUNTER_KEY,
    REQUEST,
    REQUEST_KEY,
    WAIT,
    Count,
    Kind,
    Setting,
)
from aod.host.capabilities import PROBES, raised
from aod.smb.filter import Filter, StatusVerdict
from aod.smb.probes import CREDITS, LADDER, PAYLOAD, Probe, Rung
from aod.tracer._libbpf import ffi, lib
from aod.tracer.libbpf import check, find_program
from aod.tracer.links import Links
from aod.tracer.own import OwnProcesses
from aod.tracer.ring import Ring
from aod.tracer.slots import Slots

OBJECT = Path(str(resources.files("aod").joinpath("data/smb.bpf.o")))
MAX_REQUESTS = 40960
MAX_COUNTERS = 4096
MAX_THREADS = 16384
"""Entries of the maps `inflight`, `counters` and `waiting` (bpf/requests.h, counters.h)."""


class Tracer:
    """The tracer of SMB requests, behind both tools, `smbslower` and `smbiosnoop`.

    Loads the object without attaching it; a context manager that takes everything out of
    the kernel at its end. All methods but `ring`'s block for up to a second: call them
    through asyncio.to_thread. cifs must be loaded, as its types are looked up in its BTF;
    `btf` names another BTF to look in. `rung` says which probes to use, `hidden` names those
    that are to be missing, and `optional` further programs to load. Raises TracerError.
    """

    @raised(*PROBES)
    def __init__(
        self,
        path: Path = OBJECT,
        btf: Path | None = None,
        optional: tuple[str, ...] = (),
        rung: Rung = LADDER[0],
        own: OwnProcesses | None = None,
        hidden: Collection[str] = (),
    ) -> None:
        self.rung = rung
        self.attached: tuple[str, ...] = ()
        """The sections of the programs that are attached, such as "kprobe/smb_send_rqst"."""
        self.programs: frozenset[str] = frozenset()
        """The names of the same programs; two may have one section."""
        self.missing: dict[str, str] = {}
        """Why a probe that is wanted is not attached, by program."""
        self.refusals: tuple[str, ...] = ()
        """Why the rungs above this one could not be used."""
        self._wanted = Filter()
        self._unpinned: tuple[Probe, ...] = ()
        self._map_fds: dict[str, int] = {}
        self._is_closed = False
        with ExitStack() as stack:
            lib.aod_forget_messages()
            self._object = lib.aod_open(os.fsencode(path), os.fsencode(btf) if btf else ffi.NULL)
            if not self._object:
                check(-ffi.errno, f"opening {path}")
            stack.callback(lib.bpf_object__close, self._object)
            probes = (probe.program for probe in (*rung.optional, *rung.needed, *CREDITS))
            for name in (*probes, *optional):
                program = find_program(self._object, name)
                check(lib.bpf_program__set_autoload(program, True), f"loading {name}")
            check(lib.bpf_object__load(self._object), f"loading {path.name}")
            self.ring = stack.enter_context(Ring(self._map("events")))
            self.slots = Slots(self._map("slots"))
            self._links = stack.enter_context(closing(Links(self._object, hidden)))
            self._stack = stack.pop_all()
        self.own = own or OwnProcesses()
        self.own.tell(self._mark_own)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take everything out of the kernel."""
        # A thread that was left behind may still ask: it gets an error, not freed memory.
        self._is_closed = True
        self.own.tell(lambda pid, own: None)
        self._stack.close()

    def attach(self) -> None:
        """Attach the probes of the rung, the receiving end first.

        What is optional and cannot be attached is told in `missing`.
        """
        wanted = CREDITS if Kind.CREDIT_WAIT in self._wanted.kinds else ()
        optional = self._attach_optional((*self.rung.optional, *wanted))
        self.expect_payloads(PAYLOAD in optional)
        for probe in self.rung.needed:
            self._links.attach(probe)
        self._note_attached((*optional, *self.rung.needed))

    def _note_attached(self, probes: Collection[Probe]) -> None:
        self.attached += tuple(self._links.section(probe) for probe in probes)
        self.programs |= {probe.program for probe in probes}

    def _attach_optional(self, probes: Iterable[Probe]) -> list[Probe]:
        attached = []
        for probe in probes:
            try:
                self._links.attach(probe)
                attached.append(probe)
            except TracerError as error:
                self.missing[probe.program] = str(error)
        return attached

    def section(self, probe: Probe) -> str:
        """Return the section of a probe's program, such as "kprobe/smb_send_rqst"."""
        return self._links.section(probe)

    @property
    def ring_bytes(self) -> int:
        """The size of the ring `events`."""
        ring = lib.bpf_object__find_map_by_name(self._object, b"events")
        return int(lib.bpf_map__max_entries(ring))

    def attach_uprobe(self, name: str, binary: Path, offset: int) -> None:
        """Attach one of the kprobe programs to a function of this process, for a test."""
        self._links.attach_uprobe(name, binary, offset)

    def detach(self) -> None:
        """Take the probes out; what is in the ring stays."""
        self._links.close()

    @property
    def pins(self) -> int:
        """How many users of the module cifs are tracepoints of this tracer."""
        return self._links.pins

    def unpin(self) -> None:
        """Take out the tracepoints, which do not let cifs be unloaded; kprobes stay."""
        self._unpinned = self._links.unpin()

    def pin(self) -> None:
        """Attach the tracepoints again that `unpin` took out."""
        self._attach_optional(self._unpinned)
        self._unpinned = ()

    def expect_payloads(self, expected: bool) -> None:
        """Tell the probes whether the end of an async READ is seen, or only its response."""
        self._set(self._map("settings"), "uint32_t", Setting.PAYLOADS, "uint32_t", int(expected))

    def set_filter(self, wanted: Filter) -> None:
        """Tell the probes which operations to send; what both this and the last want is sent.

        May be called while they are attached: a probe that only now has a use is attached too.
        """
        before, self._wanted = self._wanted, wanted
        if before.statuses.failures != wanted.statuses.failures:
            # Exceptions reverse the default: until both are changed, each request is sent.
            self._set_thresholds(np.zeros(2 * COMMANDS, np.uint64))
        self._set_statuses(wanted.statuses)
        self._set_thresholds(wanted.thresholds_ns.reshape(2 * COMMANDS))
        errors = np.packbits(wanted.errors, bitorder="little").view("<u8")
        for index, bits in enumerate(errors.tolist()):
            self._set(self._map("local_errors"), "uint32_t", index, "uint64_t", bits)
        settings = self._map("settings")
        kinds = sum(1 << kind for kind in wanted.kinds)
        self._set(settings, "uint32_t", Setting.KINDS, "uint32_t", kinds)
        self._set(settings, "uint32_t", Setting.SECONDARY, "uint32_t", wanted.secondary)
        if self.attached:
            self._attach_more()

    def _set_thresholds(self, thresholds_ns: NDArray[np.uint64]) -> None:
        thresholds = self._map("latency_thresholds")
        for index, threshold_ns in enumerate(thresholds_ns.tolist()):
            self._set(thresholds, "uint32_t", index, "uint64_t", threshold_ns)

    def _set_statuses(self, statuses: StatusVerdict) -> None:
        exceptions, settings = self._map("status_exceptions"), self._map("settings")
        for status, commands in statuses.exceptions.items():
            self._set(exceptions, "uint32_t", status, "struct aod_commands", _words(commands))
        self._set(settings, "uint32_t", Setting.FAILURES, "uint32_t", statuses.failures)
        for status in self._keys(exceptions) - statuses.exceptions.keys():
            lib.aod_map_delete(exceptions, ffi.new("uint32_t *", status))

    def _attach_more(self) -> None:
        """Attach what the filter wants since the start; what it no longer wants stays."""
        wanted = CREDITS if Kind.CREDIT_WAIT in self._wanted.kinds else ()
        known = {*self.programs, *self.missing}
        new = [probe for probe in wanted if probe.program not in known]
        self._note_attached(self._attach_optional(new))

    def counts(self) -> dict[Count, int]:
        """Return the counters of the kernel's side, summed over the CPUs."""
        return {count: self._count(count) for count in Count}

    def _count(self, count: Count) -> int:
        key = ffi.new("uint32_t *", count)
        per_cpu = ffi.new("uint64_t[]", lib.libbpf_num_possible_cpus())
        check(lib.aod_map_lookup(self._map("ledger"), key, per_cpu), "reading the ledger")
        return sum(per_cpu)

    def skipped(self) -> int:
        """Return how often a probe was not run, as its CPU was inside of another BPF call.

        The kernel counts it from 5.12 on.
        """
        probes = (*self.rung.optional, *self.rung.needed)
        fds = (lib.bpf_program__fd(find_program(self._object, probe.program)) for probe in probes)
        return sum(check(lib.aod_skipped(fd), "reading a program's counters") for fd in fds)

    def open_requests(self) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Return what is sent and unanswered: keys (n,) REQUEST_KEY, requests (n,) REQUEST."""
        # To go through the hash takes 0.2 ms, in which no probe runs on this CPU.
        is_crowded = self._count(Count.CROWDED) > 0
        keys, requests = self.slots.open_requests()
        if not is_crowded:
            return keys, requests
        more = self._entries("inflight", MAX_REQUESTS, REQUEST_KEY, REQUEST)
        return (
            np.concatenate([keys, more[0]], dtype=REQUEST_KEY),
            np.concatenate([requests, more[1]], dtype=REQUEST),
        )

    def forget(self, connection_id: int, message_id: int) -> bool:
        """Take a request out of what is open; return whether it was there."""
        slot = self.slots.index_of(connection_id, message_id)
        if slot is not None:
            self._clear_slot(slot)
            return True
        key = ffi.new("struct aod_request_key *", (connection_id, message_id))
        return bool(lib.aod_map_delete(self._map("inflight"), key) == 0)

    def _clear_slot(self, slot: int) -> None:
        index, empty = ffi.new("uint32_t *", slot), ffi.new("struct aod_slot *")
        check(lib.aod_map_update(self._map("slots"), index, empty), "clearing a slot")

    def counters(self) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Return what was counted since the load: keys (n,) COUNTER_KEY, counters (n,) COUNTER."""
        return self._entries("counters", MAX_COUNTERS, COUNTER_KEY, COUNTER)

    def drop_counters(self, keys: Iterable[tuple[int, int, int]]) -> None:
        """Take counters out of the kernel: (connection id, tree id, command); they begin anew."""
        for key in keys:
            lib.aod_map_delete(self._map("counters"), ffi.new("struct aod_counter_key *", key))

    def threads(self) -> tuple[NDArray[np.uint32], NDArray[np.void]]:
        """Return who has called cifs of late: thread ids (n,), what they did (n,) WAIT.

        One whose `sent_ns` is 0 was on its way to send, and may have ended since.
        """
        return self._entries("waiting", MAX_THREADS, np.dtype(np.uint32), WAIT)

    def run(self, name: str, context: bytes) -> int:
        """Run a `syscall` program on its C struct, given as bytes; return what it returns."""
        program_fd = lib.bpf_program__fd(find_program(self._object, name))
        buffer = ffi.from_buffer(bytearray(context))
        return check(lib.aod_run(program_fd, buffer, len(context)), f"running {name}")

    def _map(self, name: str) -> int:
        if self._is_closed:
            raise TracerError("the tracer is closed")
        if name not in self._map_fds:
            found = lib.bpf_object__find_map_fd_by_name(self._object, name.encode())
            self._map_fds[name] = check(found, f"finding the map {name}")
        return self._map_fds[name]

    def _mark_own(self, pid: int, own: bool) -> None:
        own_processes = self._map("own_processes")
        if own:
            self._set(own_processes, "uint32_t", pid, "uint8_t", 1)
        else:
            lib.aod_map_delete(own_processes, ffi.new("uint32_t *", pid))
        alive = len(self._keys(own_processes))
        self._set(self._map("settings"), "uint32_t", Setting.OWN, "uint32_t", alive)

    def _entries(
        self, name: str, capacity: int, key: np.dtype[Any], value: np.dtype[np.void]
    ) -> tuple[NDArray[Any], NDArray[np.void]]:
        keys, values = np.empty(capacity, key), np.empty(capacity, value)
        pointers = ffi.from_buffer(keys), ffi.from_buffer(values)
        count = check(
            lib.aod_map_entries(self._map(name), *pointers, capacity), f"reading the map {name}"
        )
        return keys[:count].copy(), values[:count].copy()

    @staticmethod
    def _set(map_fd: int, key_type: str, key: int, value_type: str, value: Any) -> None:
        pointers = ffi.new(f"{key_type} *", key), ffi.new(f"{value_type} *", value)
        check(lib.aod_map_update(map_fd, *pointers), "writing to a map")

    @staticmethod
    def _keys(map_fd: int) -> set[int]:
        keys, key, following = set(), ffi.NULL, ffi.new("uint32_t *")
        while lib.bpf_map_get_next_key(map_fd, key, following) == 0:
            keys.add(following[0])
            key = ffi.new("uint32_t *", following[0])
        return keys


def _words(commands: frozenset[int]) -> list[list[int]]:
    """Return the one field of a struct aod_commands."""
    bits = np.zeros(COMMANDS, np.bool)
    bits[list(commands)] = True
    return [np.packbits(bits, bitorder="little").view("<u8").tolist()]
