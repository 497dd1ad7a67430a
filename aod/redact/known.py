"""The names that this machine itself knows: read once before a manifest or a bundle is redacted."""

import logging
import socket
from pathlib import Path

from aod.host import mounts
from aod.redact.naming import FIRST_USER_ID, NOBODY, Naming
from aod.redact.texts import Text

log = logging.getLogger(__name__)

MAX_BYTES = 4 << 20
TABLES = ("proc/fs/cifs/DebugData", "proc/fs/cifs/open_files")


def read_users(root: Path) -> dict[int, str]:
    """Return the names of /etc/passwd by their uid; a directory service is not asked."""
    users: dict[int, str] = {}
    for line in _read(root / "etc/passwd").splitlines():
        fields = line.split(":")
        if len(fields) > 2 and fields[2].isdigit():
            users.setdefault(int(fields[2]), fields[0])
    return users


def learn(root: Path, naming: Naming, text: Text, users: dict[int, str]) -> None:
    """Give a pseudonym to each name of a mount, a server, an open file, a user, and the host."""
    naming.server(socket.gethostname())
    for number, user in users.items():
        if FIRST_USER_ID <= number != NOBODY:
            naming.user(user)
    for mount in mounts.cifs_mounts(_mounted(root)):
        if mount.server:
            naming.server(mount.server)
            naming.share(mount.share)
        for folder in mount.mount_point.parts[1:]:
            naming.component(folder, last=False)
    for table in TABLES:
        text.redact(_read(root / table))


def _mounted(root: Path) -> tuple[mounts.Mount, ...]:
    try:
        return mounts.read(root)
    except OSError as error:
        log.debug("no names of mounts: %s", error)
        return ()


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            return file.read(MAX_BYTES)
    except OSError as error:
        log.debug("no names of %s: %s", path, error)
        return ""
