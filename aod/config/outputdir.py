"""Whether a directory can take bundles; a share is never touched to find out."""

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from aod.host import directories as private
from aod.host.mounts import Mount, all_mounts, mount_of

MAX_LINKS = 40
"""Symbolic links in one path that the kernel follows (MAXSYMLINKS, fs/namei.c)."""


def problems(path: Path, mountinfo: str) -> list[str]:
    """Return why a directory cannot be used; what lies on a share is not looked at further."""
    return share_problems(path, mountinfo) or output_dir_problems(path)


def share_problems(
    path: Path, mountinfo: str, why: str = "bundles must survive the share"
) -> list[str]:
    """Return a line if the path, its links followed, lies on a mount that must not be touched."""
    mounts = all_mounts(mountinfo)
    try:
        real = resolved(path, mounts)
    except OSError as error:
        return [f"cannot follow {path}: {error.strerror} (give another directory)"]
    mount = _forbidden(real, mounts)
    if mount is None:
        return []
    through = "" if real == PurePosixPath(path) else f" (it leads to {real})"
    return [
        f"{path} lies on the {mount.fstype} mount {mount.mount_point}{through}: "
        f"{why} (give a local directory)"
    ]


def output_dir_problems(path: Path) -> list[str]:
    """Return why a local directory cannot be made or written; nothing is created."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return _parent_problems(path)
    except OSError as error:
        return [f"cannot look at {path}: {error.strerror} (give another directory)"]
    if stat.S_ISLNK(status.st_mode):
        return [f"{path} is a symbolic link (give the directory that it leads to)"]
    if not stat.S_ISDIR(status.st_mode):
        return [f"{path} exists and is not a directory (give another one)"]
    if problems := _write_problems(path, "write to", path):
        return problems
    reason = private.objection(path, status)
    return [f"cannot use {path}: {reason}"] if reason else []


def resolved(path: Path, mounts: Sequence[Mount]) -> PurePosixPath:
    """Follow the links of a path by readlink alone, and stop where a share begins.

    Raises OSError (ELOOP, EACCES and the like) as the kernel would.
    """
    real = PurePosixPath("/")
    pending = list(reversed(path.parts[1:]))
    links = 0
    while pending:
        part = pending.pop()
        step = real.parent if part == ".." else real / part
        target = None if _forbidden(step, mounts) else _link_target(step)
        if target is None:
            real = step
            continue
        links += 1
        if links > MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        real = PurePosixPath("/") if target.is_absolute() else real
        pending += reversed(target.parts[1:] if target.is_absolute() else target.parts)
    return real


def _forbidden(path: PurePosixPath, mounts: Sequence[Mount]) -> Mount | None:
    """Return the share that a path lies on, or the automount that a look at it would trigger."""
    mount = mount_of(path, mounts)
    return mount if mount and (mount.is_cifs or mount.fstype == "autofs") else None


def _link_target(path: PurePosixPath) -> PurePosixPath | None:
    try:
        return PurePosixPath(Path(path).readlink())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.EINVAL:  # it is there, and no link
            return None
        raise


def _parent_problems(path: Path) -> list[str]:
    parent = next(parent for parent in path.parents if os.path.lexists(parent))
    if not parent.is_dir():
        return [f"cannot create {path}: {parent} is not a directory (give another one)"]
    return _write_problems(parent, f"create {path}, as nothing can be made in", path)


def _write_problems(directory: Path, what: str, wanted: Path) -> list[str]:
    # Root passes every mode bit, but not a filesystem that is mounted read-only.
    if os.statvfs(directory).f_flag & os.ST_RDONLY:
        advice = "give another directory"
        if os.environ.get("NOTIFY_SOCKET"):  # the unit's ProtectSystem= does the same
            advice += (
                f", or let the unit write there: install -d -m 700 {wanted}; systemctl edit aod, "
                f"[Service], ReadWritePaths={wanted}"
            )
        return [f"cannot {what} {directory}: it is mounted read-only ({advice})"]
    if not os.access(directory, os.W_OK | os.X_OK):
        advice = "run as root, or give another" if os.geteuid() else "give another directory"
        return [f"cannot {what} {directory}: permission denied ({advice})"]
    return []
