"""What a guest is made of: its packages, its disks, and what runs there as PID 1."""

from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent
INSIDE = _HERE / "inside"
_SHARE = ("cifs-utils", "iproute2", "kmod", "procps", "python3", "samba", "util-linux")


@dataclass(frozen=True, slots=True)
class System:
    """Describe a kind of guest; `name` keeps its entries in the cache apart from the others'.

    The files of `inside` travel in the initramfs, those of a later folder in place of an
    earlier one's. The payload's disk is mounted read-only at `payload_place`.
    """

    name: str
    packages: tuple[str, ...]
    root_size: str
    payload_mb: int
    payload_place: str
    inside: tuple[Path, ...] = (INSIDE,)

    def kind(self, kind: str) -> str:
        """Return the kind that an entry of this system has in the cache."""
        return f"{kind}-{self.name}" if self.name else kind


PLAIN = System(
    name="",
    packages=(
        "bpftool",
        "cifs-utils",
        "e2fsprogs",
        "iproute2",
        "kmod",
        "libbpf1",
        "procps",
        "python3",
        "samba",
        "smbclient",
        "strace",
        "systemd",
        "tcpdump",
        "util-linux",
        "zstd",
    ),
    root_size="3G",
    payload_mb=512,
    payload_place="/opt/aod",
)
"""The agent is PID 1's only child, and aod runs from /opt/aod: quick to resume and to examine."""

SYSTEMD = System(
    name="systemd",
    packages=(
        *_SHARE,
        "bpftool",
        "conmon",
        "crun",
        "dbus",
        "podman",
        "strace",
        "systemd-sysv",
        "tcpdump",
    ),
    root_size="6G",
    payload_mb=1536,
    payload_place="/opt/payload",
    inside=(INSIDE, _HERE / "inside_systemd"),
)
"""A Debian as a user has it, with nothing of aod: packages and images come as the payload."""
