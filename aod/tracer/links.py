"""Where the programs of a loaded object are attached."""

import errno
from collections.abc import Collection, Iterable
from contextlib import ExitStack
from typing import Any

from aod.errors import TracerError
from aod.host.capabilities import PROBES, raised
from aod.smb.probes import Probe
from aod.tracer._libbpf import ffi, lib
from aod.tracer.libbpf import find_program

TRACEPOINT = "raw_tp/"


class Links:
    """Attaches probes; what `hidden` names, program or function, is taken for missing."""

    def __init__(self, bpf_object: Any, hidden: Collection[str]) -> None:
        self.attached: dict[str, str] = {}
        """The sections of the programs that were attached, by program."""
        self.missing: dict[str, str] = {}
        """Why a probe that is wanted is not attached, by program."""
        self._object = bpf_object
        self._hidden = hidden
        self._kprobes = ExitStack()
        self._tracepoints = ExitStack()
        self._pinning: list[Probe] = []
        self._unpinned: list[Probe] = []

    def attach(self, probe: Probe) -> None:
        """Attach one probe; raises TracerError."""
        section = self.section(probe)
        link = self._link(probe, section)
        if section.startswith(TRACEPOINT):
            self._tracepoints.callback(lib.bpf_link__destroy, link)
            self._pinning.append(probe)
        else:
            self.keep(link)
        self.attached[probe.program] = section

    def try_each(self, probes: Iterable[Probe]) -> None:
        """Attach what can be attached; what cannot is named in `missing`."""
        for probe in probes:
            try:
                self.attach(probe)
            except TracerError as error:
                self.missing[probe.program] = str(error)

    def keep(self, link: Any) -> None:
        """Take over a `struct bpf_link *` that does not hold the module; it ends with `close`."""
        self._kprobes.callback(lib.bpf_link__destroy, link)

    def section(self, probe: Probe) -> str:
        """Return the program's section, such as "kprobe/smb_send_rqst"."""
        program = find_program(self._object, probe.program)
        return str(ffi.string(lib.bpf_program__section_name(program)).decode())

    @property
    def pins(self) -> int:
        """How many tracepoints are attached: each counts as a user of the module."""
        return len(self._pinning)

    def unpin(self) -> None:
        """Take the tracepoints out."""
        self._tracepoints.close()
        self._unpinned, self._pinning = self._pinning, []

    def pin(self) -> None:
        """Attach the tracepoints again that `unpin` took out."""
        unpinned, self._unpinned = self._unpinned, []
        self.try_each(unpinned)

    def close(self) -> None:
        """Take everything out."""
        self._tracepoints.close()
        self._pinning = []
        self._kprobes.close()

    @raised(*PROBES)
    def _link(self, probe: Probe, section: str) -> Any:
        function = section.partition("/")[2]
        if not {probe.program, function}.isdisjoint(self._hidden):
            raise TracerError(f"attaching {section} failed (hidden)", errno.ENOENT)
        link = lib.bpf_program__attach(find_program(self._object, probe.program))
        if not link:
            raise TracerError(f"attaching {section} failed", ffi.errno)
        return link
