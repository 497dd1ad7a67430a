"""Directories of our own: where they are, for the owner alone, reached by no link of another."""

import contextlib
import errno
import logging
import os
import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from aod.host import paths, trust

log = logging.getLogger(__name__)

OUTPUT = Path("/var/log/aod")
"""Where the bundles are, unless the config says otherwise."""
STATE = Path("/var/lib/aod")
RUNTIME = Path("/run/aod")

_FINAL = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_WORDS = trust.Words(
    owned="it belongs to uid {uid} (chown {us} {path}, or name another)",
    writable="others can write to it (chmod go-w {path}, or name another)",
)


class RefusedError(PermissionError):
    """A directory that is not safe to use; `strerror` says why, and what to do about it."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EPERM, reason)


def state_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where state survives a restart: STATE_DIRECTORY of systemd.exec(5), else STATE."""
    return _first(environ, "STATE_DIRECTORY", STATE)


def runtime_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the socket is: RUNTIME_DIRECTORY of systemd.exec(5), else RUNTIME."""
    return _first(environ, "RUNTIME_DIRECTORY", RUNTIME)


def is_made_at_start(directory: Path, environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether it is one of LOGS_DIRECTORY: systemd makes it at each start of the service."""
    return str(directory) in environ.get("LOGS_DIRECTORY", "").split(":")


def open_directory(path: Path, *, create: bool = True, tighten: bool = False) -> int:
    """Return a descriptor of an absolute directory that is ours and that no other can write.

    What is missing is made with mode 0700 when `create`. `tighten` takes away what rights
    others have on it, which is for directories that hold nothing but our own; without it one
    that others can write is refused, and one that they can read is logged. A link on the way
    must be of root or ours, the directory itself must be none. Blocking; raises RefusedError, or
    the OSError of what cannot be opened or made.
    """
    if not path.is_absolute() or len(path.parts) < 2 or ".." in path.parts:
        raise OSError(errno.EINVAL, "it must be an absolute path without ..", str(path))
    with contextlib.ExitStack() as opened:
        parent = paths.open_through(path.parent, _trusted_target, opened, create=create)
        fd = paths.open_or_make(path.name, _FINAL, parent, create=create)
        try:
            if tighten and os.fstat(fd).st_uid == os.geteuid():
                os.fchmod(fd, 0o700)
            found = os.fstat(fd)
            if reason := objection(path, found):
                raise RefusedError(reason)
        except BaseException:
            os.close(fd)
            raise
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        log.warning("others can list this directory (chmod 0700 it): path=%s", path)
    return fd


def objection(path: Path, found: os.stat_result) -> str:
    """Return why a directory that exists is not fit for what is private, or ""."""
    return trust.objection(path, found, _WORDS, ours_alone=True)


def _trusted_target(name: str, fd: int) -> PurePosixPath | None:
    """Return where a link leads; refuse one that another user made."""
    found = os.fstat(fd)
    if not stat.S_ISLNK(found.st_mode):
        return None
    if not trust.is_trusted(found.st_uid):
        reason = f"{name} in it is a link of uid {found.st_uid} (name the directory behind it)"
        raise RefusedError(reason)
    return PurePosixPath(os.readlink("", dir_fd=fd))


def _first(environ: Mapping[str, str], variable: str, default: Path) -> Path:
    """Return the first of the directories that systemd names, split by colons."""
    named = environ.get(variable, "").partition(":")[0]
    return Path(named) if named.startswith("/") else default
