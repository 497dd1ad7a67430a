"""What the kernel and the user's rights have to offer, told as what to do."""

import logging
from pathlib import Path

from aod.errors import SurroundingsError
from aod.smb import module

log = logging.getLogger(__name__)

CAPABILITIES = {"CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38, "CAP_BPF": 39}
"""Numbers of linux/capability.h; reading a module's BTF takes CAP_SYS_ADMIN."""

STATUS = Path("/proc/self/status")
BTF = Path("/sys/kernel/btf/vmlinux")
KPROBES = Path("/sys/bus/event_source/devices/kprobe")


def missing(status: Path = STATUS, btf: Path = BTF, kprobes: Path = KPROBES) -> str:
    """Return why no probe can be attached on this machine, or "" when one can."""
    return missing_rights(status) or missing_types(btf) or missing_kprobes(kprobes)


def missing_rights(status: Path = STATUS) -> str:
    """Return what this process may not do, or ""."""
    lacking = _lacking_capabilities(status.read_text(encoding="ascii"))
    if not lacking:
        return ""
    return f"cannot load BPF programs without {', '.join(lacking)} (run aod as root)"


def missing_types(btf: Path = BTF) -> str:
    """Return that the kernel does not tell its types, or ""."""
    if btf.exists():
        return ""
    return f"this kernel tells no types: {btf} is missing (needs CONFIG_DEBUG_INFO_BTF=y)"


def missing_kprobes(kprobes: Path = KPROBES) -> str:
    """Return that the kernel has no kprobes, or ""."""
    if kprobes.exists():
        return ""
    return f"this kernel has no kprobes: {kprobes} is missing (needs CONFIG_KPROBE_EVENTS=y)"


def require() -> None:
    """Raise SurroundingsError when requests cannot be seen now, for want of cifs too."""
    if lacking := missing():
        raise SurroundingsError(lacking)
    if not module.is_loaded():
        raise SurroundingsError("cifs is not loaded: modprobe cifs, or mount a share")


def require_for_service() -> None:
    """Raise SurroundingsError when the service cannot run here; without cifs it can wait for it."""
    if lacking := missing_rights() or missing_types():
        raise SurroundingsError(lacking)
    if lacking := missing_kprobes():
        if module.is_loaded():
            raise SurroundingsError(lacking)
        log.warning("no request will be seen when cifs comes: %s", lacking)


def _lacking_capabilities(status: str) -> list[str]:
    # What is permitted: the service holds its rights back and raises them to attach.
    permitted = next(
        int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapPrm:")
    )
    return [name for name, bit in CAPABILITIES.items() if not permitted >> bit & 1]
