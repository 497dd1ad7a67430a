"""Whether a directory can take bundles; a share is never touched to find out."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from aod.host import directories
from aod.host.mounts import Mount
from aod.host.paths import share_problems


def problems(path: Path, mounts: Sequence[Mount]) -> list[str]:
    """Return why a directory cannot be used; what lies on a share is not looked at further."""
    return share_problems(path, mounts) or output_dir_problems(path)


def output_dir_problems(path: Path) -> list[str]:
    """Return why a local directory cannot be made or written; nothing is created."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return _parent_problems(path)
    except OSError as error:
        return [f"cannot look at {path}: {error.strerror} (give another directory)"]
    if stat.S_ISLNK(found.st_mode):
        return [f"{path} is a symbolic link (give the directory that it leads to)"]
    if not stat.S_ISDIR(found.st_mode):
        return [f"{path} exists and is not a directory (give another one)"]
    if problems := _write_problems(path, "write to", path):
        return problems
    reason = directories.objection(path, found)
    return [f"cannot use {path}: {reason}"] if reason else []


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
