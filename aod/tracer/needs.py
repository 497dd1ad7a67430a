"""What the kernel and the user's rights have to offer, told as what to do."""

from pathlib import Path

CAPABILITIES = {"CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38, "CAP_BPF": 39}
"""Numbers of linux/capability.h; reading a module's BTF takes CAP_SYS_ADMIN."""

STATUS = Path("/proc/self/status")
BTF = Path("/sys/kernel/btf/vmlinux")
KPROBES = Path("/sys/bus/event_source/devices/kprobe")


def missing(status: Path = STATUS, btf: Path = BTF, kprobes: Path = KPROBES) -> str:
    """Return why no probe can be attached on this machine, or "" when one can."""
    lacking = _lacking_capabilities(status.read_text(encoding="ascii"))
    if lacking:
        return f"cannot load BPF programs without {', '.join(lacking)} (run aod as root)"
    if not btf.exists():
        return f"this kernel tells no types: {btf} is missing (needs CONFIG_DEBUG_INFO_BTF=y)"
    if not kprobes.exists():
        return f"this kernel has no kprobes: {kprobes} is missing (needs CONFIG_KPROBE_EVENTS=y)"
    return ""


def _lacking_capabilities(status: str) -> list[str]:
    effective = next(
        int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:")
    )
    return [name for name, bit in CAPABILITIES.items() if not effective >> bit & 1]
