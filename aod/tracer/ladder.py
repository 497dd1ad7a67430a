"""The best way to see requests that this kernel allows."""

import os
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path

from aod.errors import TracerError
from aod.smb.filter import Filter
from aod.smb.probes import LADDER, Rung
from aod.tracer.btf import shipped_btf
from aod.tracer.own import OwnProcesses
from aod.tracer.program import Tracer

MODULE_BTF = Path("/sys/kernel/btf/cifs")
KERNEL_BTF = Path("/sys/kernel/btf/vmlinux")
TYPES = "types"
"""Hidden, it stands for the types of cifs."""


def climb(wanted: Filter, own: OwnProcesses | None = None, hidden: Collection[str] = ()) -> Tracer:
    """Return a tracer with its probes attached, on the highest rung that this kernel allows.

    `hidden` names functions, tracepoints or TYPES that are to be taken for missing. Raises
    TracerError when no rung holds.
    """
    refusals: list[str] = []
    code = 0
    for rung in LADDER:
        try:
            return _attached(rung, wanted, own, hidden, tuple(refusals))
        except TracerError as error:
            if error.is_permission:
                raise
            refusals.append(f"rung {rung.number}: {_reason(rung, error, hidden)}")
            code = error.code
    raise TracerError(f"no way to see SMB requests on this kernel: {'; '.join(refusals)}", code)


def _attached(
    rung: Rung,
    wanted: Filter,
    own: OwnProcesses | None,
    hidden: Collection[str],
    refusals: tuple[str, ...],
) -> Tracer:
    with ExitStack() as stack:
        tracer = stack.enter_context(
            Tracer(btf=_types(hidden), rung=rung, own=own, hidden=hidden, refusals=refusals)
        )
        tracer.set_filter(wanted)
        tracer.attach()
        stack.pop_all()
    return tracer


def _types(hidden: Collection[str]) -> Path | None:
    """Return where CO-RE looks the types up; None: in the BTF of the kernel and its modules."""
    if TYPES in hidden:
        return KERNEL_BTF
    return None if MODULE_BTF.exists() else shipped_btf(os.uname().release)


def _reason(rung: Rung, error: TracerError, hidden: Collection[str]) -> str:
    """Say why a rung does not hold; that types are missing libbpf says in its own way."""
    if rung is LADDER[0] and TYPES in hidden:
        return "the types of cifs are not known (hidden)"
    if rung is not LADDER[0] or MODULE_BTF.exists():
        return str(error)
    return (
        f"the types of cifs are not known: {MODULE_BTF} is missing"
        f" (CONFIG_DEBUG_INFO_BTF_MODULES=y), and aod has none for {os.uname().release}"
    )
