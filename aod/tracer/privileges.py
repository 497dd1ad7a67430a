"""Which of root's capabilities the service keeps, and which it gives up at its start."""

import errno
import resource

from aod.host.capabilities import Capability, lower
from aod.tracer._libbpf import ffi, lib


def hold_back() -> None:
    """Give up what is never needed, and hold the rest back until it is raised.

    Call it before the first thread is started: what those have they keep. Raises OSError.
    """
    # libbpf wants it before 5.11, where it would take CAP_SYS_RESOURCE by then.
    _allow(resource.RLIMIT_MEMLOCK, resource.RLIM_INFINITY)
    # For calls on maps (ring.c); the other way is CAP_SYS_NICE.
    undisturbed = _allow(resource.RLIMIT_RTPRIO, 1)
    kept = set(Capability) - ({Capability.SYS_NICE} if undisturbed else set())
    always = kept & {Capability.SYS_NICE}
    lower(kept, always)
    if not maps_are_open():
        lower(kept, always | {Capability.BPF})


def maps_are_open() -> bool:
    """Return whether the kernel lets us use the maps that we hold.

    Before 5.19 every bpf() call took CAP_BPF where kernel.unprivileged_bpf_disabled is set.
    """
    return bool(lib.aod_map_lookup(-1, ffi.NULL, ffi.NULL) != -errno.EPERM)


def _allow(limit: int, value: int) -> bool:
    """Set a limit of this process, and return whether the kernel agreed."""
    try:
        resource.setrlimit(limit, (value, value))
    except (OSError, ValueError):
        return False
    return True
