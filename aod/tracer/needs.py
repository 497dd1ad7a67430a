"""What is missing of the kernel and of this process's capabilities, and what to do about it."""

import logging
from pathlib import Path

from aod.errors import HostError
from aod.host import capabilities
from aod.host.capabilities import PROBES, PROC_STATUS
from aod.smb import module

log = logging.getLogger(__name__)

BTF = Path("/sys/kernel/btf/vmlinux")
KPROBES = Path("/sys/bus/event_source/devices/kprobe")


def missing(proc_status: Path = PROC_STATUS, btf: Path = BTF, kprobes: Path = KPROBES) -> str:
    """Return why no probe can be attached on this machine, or "" when one can."""
    return missing_capabilities(proc_status) or missing_types(btf) or missing_kprobes(kprobes)


def missing_capabilities(proc_status: Path = PROC_STATUS) -> str:
    """Return which capabilities this process lacks, or ""."""
    # What is permitted: the service holds its capabilities back and raises them to attach.
    permitted = capabilities.capability_sets(proc_status).permitted
    lacking = [each.constant for each in PROBES if not permitted >> each & 1]
    if not lacking:
        return ""
    return f"cannot load BPF programs without {', '.join(lacking)} (run aod as root)"


def missing_types(btf: Path = BTF) -> str:
    """Return that the kernel has no BTF, or ""."""
    if btf.exists():
        return ""
    return f"this kernel tells no types: {btf} is missing (needs CONFIG_DEBUG_INFO_BTF=y)"


def missing_kprobes(kprobes: Path = KPROBES) -> str:
    """Return that the kernel has no kprobes, or ""."""
    if kprobes.exists():
        return ""
    return f"this kernel has no kprobes: {kprobes} is missing (needs CONFIG_KPROBE_EVENTS=y)"


def require() -> None:
    """Raise HostError when requests cannot be seen now, for want of cifs too."""
    if lacking := missing():
        raise HostError(lacking)
    if not module.is_loaded():
        raise HostError("cifs is not loaded: modprobe cifs, or mount a share")


def require_for_service() -> None:
    """Raise HostError when the service cannot run here; without cifs it can wait for it."""
    if lacking := missing_capabilities() or missing_types():
        raise HostError(lacking)
    if lacking := missing_kprobes():
        if module.is_loaded():
            raise HostError(lacking)
        log.warning("no request will be seen when cifs comes: %s", lacking)
