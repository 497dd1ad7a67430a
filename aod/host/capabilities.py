"""Which of root's capabilities this process may use: held back, and raised only where it is needed.

Rights belong to a thread (capabilities(7)): what is lowered before the first thread is started
is low in all of them, and what one raises the others do not have.
"""

import ctypes
import enum
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROC_STATUS = Path("/proc/self/status")
LAST = Path("/proc/sys/kernel/cap_last_cap")
_VERSION_3 = 0x20080522
_PR_CAPBSET_DROP = 24
# glibc and musl export capget and capset; no well-kept package wraps them.
_libc = ctypes.CDLL(None, use_errno=True)


class Capability(enum.IntEnum):
    """The capabilities that aod or a child of it needs, as numbered in linux/capability.h."""

    DAC_READ_SEARCH = 2
    SETGID = 6
    SETUID = 7
    SETPCAP = 8
    NET_RAW = 13
    SYS_PTRACE = 19
    SYS_ADMIN = 21
    SYS_NICE = 23
    SYSLOG = 34
    PERFMON = 38
    BPF = 39

    @property
    def constant(self) -> str:
        """Its name there, such as CAP_BPF."""
        return f"CAP_{self.name}"


PROBES = (Capability.SYS_ADMIN, Capability.PERFMON, Capability.BPF)
"""To load and attach probes; the types of a module take CAP_SYS_ADMIN."""
STACKS = (Capability.SYS_ADMIN, Capability.SYS_PTRACE, Capability.DAC_READ_SEARCH)
"""To read the kernel stack of another user's thread: a file of mode 0400."""


@dataclass(frozen=True, slots=True)
class CapabilitySets:
    """The sets of one thread, each a mask of 1 << Capability."""

    effective: int
    permitted: int
    inheritable: int
    bounding: int
    ambient: int


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Half(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def mask(capabilities: Collection[Capability]) -> int:
    """Return the mask that stands for some capabilities."""
    return sum(1 << each for each in set(capabilities))


def capability_sets(proc_status: Path = PROC_STATUS) -> CapabilitySets:
    """Return the sets of this process' first thread; reads a file."""
    lines = proc_status.read_text(encoding="ascii").splitlines()
    sets = {key: value for key, _, value in (line.partition(":\t") for line in lines)}
    keys = ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")
    return CapabilitySets(*(int(sets[key], 16) for key in keys))


def lower(kept: Collection[Capability], effective: Collection[Capability] = ()) -> None:
    """Give up for good all that is not `kept`, and hold that back but what is `effective`.

    Of root's children the bounding set goes as well, where it may be changed. Raises OSError.
    """
    permitted = _get()[1] & mask(kept)
    _drop_bounding(mask(kept))
    inheritable = 0 if os.geteuid() == 0 else _get()[2]
    _set(permitted & mask(effective), permitted, inheritable)


@contextmanager
def raised(*capabilities: Capability) -> Iterator[None]:
    """Have what is permitted of `capabilities` in this thread while the context lasts.

    For what is done at once in one thread: a coroutine that waits in it would share them.
    """
    before, permitted, inheritable = _get()
    wanted = before | (permitted & mask(capabilities))
    if wanted == before:
        yield
        return
    _set(wanted, permitted, inheritable)
    try:
        yield
    finally:
        _set(before, permitted, inheritable)


def _drop_bounding(kept: int) -> None:
    if not _get()[0] >> Capability.SETPCAP & 1:
        return
    for number in range(int(LAST.read_text(encoding="ascii")) + 1):
        if not kept >> number & 1:
            _check(_libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0), "prctl")


def _get() -> tuple[int, int, int]:
    """Return what this thread has effective, permitted and inheritable."""
    halves = (_Half * 2)()
    _check(_libc.capget(ctypes.byref(_Header(_VERSION_3, 0)), halves), "capget")
    low, high = halves
    return (
        low.effective | high.effective << 32,
        low.permitted | high.permitted << 32,
        low.inheritable | high.inheritable << 32,
    )


def _set(effective: int, permitted: int, inheritable: int) -> None:
    sets = (effective, permitted, inheritable)
    low = _Half(*(each & 0xFFFFFFFF for each in sets))
    high = _Half(*(each >> 32 for each in sets))
    halves = (_Half * 2)(low, high)
    _check(_libc.capset(ctypes.byref(_Header(_VERSION_3, 0)), halves), "capset")


def _check(result: int, call: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
