"""Where the programs of a loaded object are attached."""

import errno
import os
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
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
        self._object = bpf_object
        self._hidden = hidden
        self._kprobes = ExitStack()
        self._tracepoints = ExitStack()
        self._pinned: list[Probe] = []

    @raised(*PROBES)
    def attach(self, probe: Probe) -> None:
        """Attach one probe; raises TracerError."""
        section = self.section(probe)
        function = section.partition("/")[2]
        if not {probe.program, function}.isdisjoint(self._hidden):
            raise TracerError(f"attaching {section} failed (hidden)", errno.ENOENT)
        link = lib.bpf_program__attach(find_program(self._object, probe.program))
        if not link:
            raise TracerError(f"attaching {section} failed", ffi.errno)
        if section.startswith(TRACEPOINT):
            self._tracepoints.callback(lib.bpf_link__destroy, link)
            self._pinned.append(probe)
        else:
            self._kprobes.callback(lib.bpf_link__destroy, link)

    def attach_uprobe(self, name: str, binary: Path, offset: int) -> None:
        """Attach one of the kprobe programs to a function of this process, for a test."""
        link = lib.bpf_program__attach_uprobe(
            find_program(self._object, name), False, os.getpid(), os.fsencode(binary), offset
        )
        if not link:
            raise TracerError(f"attaching {name} to {binary} failed", ffi.errno)
        self._kprobes.callback(lib.bpf_link__destroy, link)

    def section(self, probe: Probe) -> str:
        """Return the program's section, such as "kprobe/smb_send_rqst"."""
        program = find_program(self._object, probe.program)
        return str(ffi.string(lib.bpf_program__section_name(program)).decode())

    @property
    def pins(self) -> int:
        """How many tracepoints are attached: each counts as a user of the module."""
        return len(self._pinned)

    def unpin(self) -> tuple[Probe, ...]:
        """Take the tracepoints out and return them."""
        self._tracepoints.close()
        unpinned, self._pinned = tuple(self._pinned), []
        return unpinned

    def close(self) -> None:
        """Take everything out."""
        self.unpin()
        self._kprobes.close()
