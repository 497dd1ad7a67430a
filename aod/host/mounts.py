"""What is mounted where, as /proc/self/mountinfo says.

Nothing here touches a mount point: a stat of a share whose server is gone would hang.
"""

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

CIFS_TYPES = frozenset({"cifs", "smb3"})
"""Filesystem types of the kernel's SMB client: `mount -t smb3` shows the second."""

MOUNTINFO = "proc/self/mountinfo"
"""Below the root of the filesystem."""

_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount.

    `device` is MAJOR:MINOR, the same for all mounts of one superblock (bind mounts). `server`
    and `share` are of a source `//server/share/...`, empty where the source is none.
    `dialect` is what the option vers= says, such as "3.1.1", empty without one.
    """

    mount_point: PurePosixPath
    source: str
    fstype: str
    device: str
    server: str = ""
    share: str = ""
    dialect: str = ""
    is_held_shut: bool = False
    """Read-only though its filesystem is not, as ProtectSystem= of systemd.exec(5) makes it."""

    @property
    def is_cifs(self) -> bool:
        """Whether the kernel's SMB client serves it."""
        return self.fstype in CIFS_TYPES


def unescape(field: str) -> str:
    r"""Undo the octal escapes of /proc/mounts and mountinfo (`\040` is a space)."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), field)


def read(root: Path = Path("/")) -> tuple[Mount, ...]:
    """Return what this process sees mounted, in the order of the file; raises OSError."""
    # As the config and the texts that are redacted, whatever the locale.
    return parse((root / MOUNTINFO).read_bytes().decode(errors="surrogateescape"))


def parse(mountinfo: str) -> tuple[Mount, ...]:
    """Return every mount in the order of the text; a line that is none is left out."""
    # Not splitlines: a mount point may hold a form feed or a line separator of Unicode.
    parsed = (_parse(line) for line in mountinfo.split("\n"))
    return tuple(mount for mount in parsed if mount)


def cifs_mounts(mounts: Iterable[Mount]) -> tuple[Mount, ...]:
    """Return those of the kernel's SMB client, in their order."""
    return tuple(mount for mount in mounts if mount.is_cifs)


def mount_of(path: str | PurePosixPath, mounts: Iterable[Mount]) -> Mount | None:
    """Return the mount that an absolute path lies on, by prefix alone: nothing is looked up.

    `mounts` must be all mounts, as another filesystem may be mounted below a share. The
    deepest mount point wins, and of equal ones the last, which covers the others. Symbolic
    links are not followed.
    """
    wanted = PurePosixPath("/" + posixpath.normpath(str(path)).lstrip("/"))
    found: Mount | None = None
    for mount in mounts:
        if wanted.is_relative_to(mount.mount_point) and (
            found is None or len(mount.mount_point.parts) >= len(found.mount_point.parts)
        ):
            found = mount
    return found


def _parse(line: str) -> Mount | None:
    """Parse `36 35 0:52 / /mnt/a rw shared:1 - cifs //server/share rw,...` (proc(5))."""
    before, separator, after = line.partition(" - ")
    place, kind = before.split(" "), after.split(" ")
    if not separator or len(place) < 6 or len(kind) < 2:
        return None
    source = unescape(kind[1])
    server, share = _server_and_share(source)
    mount_point = PurePosixPath(unescape(place[4]))
    return Mount(
        mount_point,
        source,
        kind[0],
        place[2],
        server,
        share,
        _dialect(kind[2:]),
        is_held_shut="ro" in place[5].split(",") and "rw" in ",".join(kind[2:]).split(","),
    )


def _dialect(options: list[str]) -> str:
    """Return the dialect from the superblock's options, `rw,vers=3.1.1,cache=strict`."""
    named = (option for text in options for option in text.split(","))
    return next((each.removeprefix("vers=") for each in named if each.startswith("vers=")), "")


def _server_and_share(source: str) -> tuple[str, str]:
    parts = source.replace("\\", "/").split("/")
    if len(parts) < 4 or parts[:2] != ["", ""]:
        return "", ""
    return parts[2], parts[3]
