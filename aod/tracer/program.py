"""The tracer: the loaded object, its probes, its filter and what it has counted."""

from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack, closing
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from aod.events import COUNTER, COUNTER_KEY, REQUEST, REQUEST_KEY, WAIT, Count, Kind, Setting
from aod.host.capabilities import PROBES, raised
from aod.smb.filter import Filter
from aod.smb.probes import CREDITS, LADDER, PAYLOAD, Probe, Rung
from aod.tracer._libbpf import ffi, lib
from aod.tracer.filtering import write_filter
from aod.tracer.libbpf import check, find_program
from aod.tracer.links import Links
from aod.tracer.loading import loaded
from aod.tracer.maps import Maps
from aod.tracer.own import OwnProcesses
from aod.tracer.ring import Ring
from aod.tracer.slots import Slots

OBJECT = Path(str(resources.files("aod").joinpath("data/smb.bpf.o")))


class Tracer:
    """The tracer of SMB requests, behind both tools, `smbslower` and `smbiosnoop`.

    Loads the object without attaching it; a context manager that takes everything out of
    the kernel at its end. All methods but `ring`'s block for up to a second: call them
    through asyncio.to_thread. cifs must be loaded, as its types are looked up in its BTF;
    `btf` names another BTF to look in. `rung` says which probes to use and `refusals` why
    none above it, `hidden` names those that are to be missing, and `optional` further
    programs to load. Raises TracerError.
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
        refusals: tuple[str, ...] = (),
    ) -> None:
        self.rung = rung
        self.refusals = refusals
        self._wanted = Filter()
        self._is_attached = False
        probes = chain(rung.optional, rung.needed, CREDITS)
        programs = (*(probe.program for probe in probes), *optional)
        self.own = own or OwnProcesses()
        with ExitStack() as stack:
            self.object = stack.enter_context(loaded(path, btf, programs))
            self._maps = stack.enter_context(closing(Maps(self.object)))
            self.ring = stack.enter_context(Ring(self._maps.events.fd))
            self.links = stack.enter_context(closing(Links(self.object, hidden)))
            self._slots = Slots(self._maps.slots)
            self.own.report_to(self._mark_own)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take everything out of the kernel; what is asked later raises TracerError."""
        self._maps.close()
        self.own.report_to(lambda pid, own: None)
        self._stack.close()

    def attach(self) -> None:
        """Attach the probes of the rung, the receiving end first.

        What is optional and cannot be attached is named in `missing`.
        """
        self.links.try_each((*self.rung.optional, *self._on_demand()))
        self.expect_payloads(PAYLOAD.program in self.links.attached)
        for probe in self.rung.needed:
            self.links.attach(probe)
        self._is_attached = True

    @property
    def attached(self) -> tuple[str, ...]:
        """The sections of the programs that are attached, such as "kprobe/smb_send_rqst"."""
        return tuple(self.links.attached.values())

    @property
    def programs(self) -> frozenset[str]:
        """The names of the same programs."""
        return frozenset(self.links.attached)

    @property
    def missing(self) -> Mapping[str, str]:
        """Why a probe that is wanted is not attached, by program."""
        return self.links.missing

    def section(self, probe: Probe) -> str:
        """Return the section of a probe's program, such as "kprobe/smb_send_rqst"."""
        return self.links.section(probe)

    @property
    def ring_bytes(self) -> int:
        """The size of the ring `events`."""
        return self._maps.events.capacity

    def detach(self) -> None:
        """Take the probes out; what is in the ring stays."""
        self.links.close()

    @property
    def pins(self) -> int:
        """How many users of the module cifs are tracepoints of this tracer."""
        return self.links.pins

    def unpin(self) -> None:
        """Take out the tracepoints, which do not let cifs be unloaded; kprobes stay."""
        self.links.unpin()

    def pin(self) -> None:
        """Attach the tracepoints again that `unpin` took out."""
        self.links.pin()

    def expect_payloads(self, expected: bool) -> None:
        """Let the probes know whether the end of an async READ is seen, or only its response."""
        self._maps.settings.write(Setting.PAYLOADS, expected)

    def set_filter(self, wanted: Filter) -> None:
        """Let the probes know which operations to send; what both this and the last want is sent.

        May be called while they are attached: a probe that only now has a use is attached
        too, and what no longer has one stays.
        """
        before, self._wanted = self._wanted, wanted
        write_filter(self._maps, before, wanted)
        if self._is_attached:
            known = {*self.programs, *self.missing}
            self.links.try_each(p for p in self._on_demand() if p.program not in known)

    def counts(self) -> dict[Count, int]:
        """Return the counters of the kernel's side, summed over the CPUs; no call into it."""
        sums = self._maps.ledger.records["counts"].sum(axis=0).tolist()
        return {count: sums[count] for count in Count}

    def skipped(self) -> int:
        """Return how often a probe was not run, as its CPU was inside of another BPF call.

        A call for each program; the kernel counts it from 5.12 on.
        """
        probes = chain(self.rung.optional, self.rung.needed)
        fds = (lib.bpf_program__fd(find_program(self.object, probe.program)) for probe in probes)
        return sum(check(lib.aod_skipped(fd), "reading a program's counters") for fd in fds)

    def open_requests(self) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Return what is sent and unanswered: keys (n,) REQUEST_KEY, requests (n,) REQUEST."""
        # To go through the hash takes 0.2 ms, in which no probe runs on this CPU.
        is_crowded = self.counts()[Count.CROWDED] > 0
        keys, requests = self._slots.open_requests()
        if not is_crowded:
            return keys, requests
        more = self._maps.inflight.entries(REQUEST_KEY, REQUEST)
        return (
            np.concatenate([keys, more[0]], dtype=REQUEST_KEY),
            np.concatenate([requests, more[1]], dtype=REQUEST),
        )

    def forget(self, connection_id: int, message_id: int) -> bool:
        """Take a request out of what is open; return whether it was there."""
        return self._slots.clear(connection_id, message_id) or self._maps.inflight.delete(
            (connection_id, message_id)
        )

    def counters(self) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Return what was counted since the load: keys (n,) COUNTER_KEY, counters (n,) COUNTER."""
        return self._maps.counters.entries(COUNTER_KEY, COUNTER)

    @property
    def counter_capacity(self) -> int:
        """How many counters there is room for."""
        return self._maps.counters.capacity

    def drop_counters(self, keys: Iterable[tuple[int, int, int]]) -> None:
        """Take counters out of the kernel: (connection id, tree id, command); they begin anew."""
        for key in keys:
            self._maps.counters.delete(key)

    def threads(self) -> tuple[NDArray[np.uint32], NDArray[np.void]]:
        """Return who has called cifs of late: thread ids (n,), what they did (n,) WAIT.

        One whose `sent_ns` is 0 was on its way to send, and may have ended since.
        """
        return self._maps.waiting.entries(np.dtype(np.uint32), WAIT)

    def run(self, name: str, context: bytes) -> int:
        """Run a `syscall` program on its C struct, given as bytes; return what it returns."""
        program_fd = lib.bpf_program__fd(find_program(self.object, name))
        buffer = ffi.from_buffer(bytearray(context))
        return check(lib.aod_run(program_fd, buffer, len(context)), f"running {name}")

    def _on_demand(self) -> tuple[Probe, ...]:
        """Return the probes that only some filters have a use for."""
        return CREDITS if Kind.CREDIT_WAIT in self._wanted.kinds else ()

    def _mark_own(self, pid: int, own: bool) -> None:
        own_processes = self._maps.own_processes
        if own:
            own_processes.write(pid, 1)
        else:
            own_processes.delete(pid)
        self._maps.settings.write(Setting.OWN, len(own_processes.keys()))
