"""Paths that are followed a name at a time: no link leads astray, and no share is touched."""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from aod.host.mounts import Mount, mount_of

MAX_LINKS = 40
"""Symbolic links in one path that the kernel follows (MAXSYMLINKS, fs/namei.c)."""

# O_PATH: to go through a directory takes no right to list it.
_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_ROOT = PurePosixPath("/")

Follow: TypeAlias = Callable[[str, int], PurePosixPath | None]
"""Given the name and a descriptor of what is no directory: where it leads, None for nowhere.

It raises where the path must not go on.
"""


def share_problems(
    path: Path, mounts: Sequence[Mount], why: str = "bundles must survive the share"
) -> list[str]:
    """Return a line if the path, its links followed, lies on a mount that must not be touched."""
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


def resolved(path: Path, mounts: Sequence[Mount]) -> PurePosixPath:
    """Follow the links of a path by readlink alone, and stop where a share begins.

    Raises OSError (ELOOP, EACCES and the like) as the kernel would.
    """
    return _walk(path, lambda step: None if _forbidden(step, mounts) else _link_target(step))


def open_through(
    path: Path, follow: Follow, opened: contextlib.ExitStack, *, create: bool = False
) -> int:
    """Return a descriptor (O_PATH) of an absolute path, opened from the root a name at a time.

    What is missing is made with mode 0700 when `create`. `opened` closes the descriptors. Raises
    OSError, and what `follow` raises.
    """
    fds: dict[PurePosixPath, int] = {}

    def keep(step: PurePosixPath, fd: int) -> None:
        opened.callback(os.close, fd)
        fds[step] = fd

    def open_step(step: PurePosixPath) -> PurePosixPath | None:
        if step in fds:  # a link led back to it
            return None
        keep(step, open_or_make(step.name, _STEP, fds[step.parent], create=create))
        is_directory = stat.S_ISDIR(os.fstat(fds[step]).st_mode)
        target = None if is_directory else follow(step.name, fds[step])
        if target is not None:
            del fds[step]
        return target

    keep(_ROOT, os.open(_ROOT, _STEP | os.O_DIRECTORY))
    return fds[_walk(path, open_step)]


def open_or_make(name: str, flags: int, dir_fd: int, *, create: bool) -> int:
    """Return a descriptor of a name; with `create` a directory is made where there is none."""
    with contextlib.suppress(FileNotFoundError):
        return os.open(name, flags, dir_fd=dir_fd)
    if create:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=dir_fd)
    return os.open(name, flags, dir_fd=dir_fd)


def _walk(path: Path, target_of: Callable[[PurePosixPath], PurePosixPath | None]) -> PurePosixPath:
    """Return where an absolute path leads; `target_of` returns what a step's link says, if any.

    No step has a link before its last name. Raises OSError (ELOOP).
    """
    real = _ROOT
    pending = list(reversed(path.parts[1:]))
    links = 0
    while pending:
        part = pending.pop()
        step = real.parent if part == ".." else real / part
        target = target_of(step)
        if target is None:
            real = step
            continue
        links += 1
        if links > MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        real = _ROOT if target.is_absolute() else real
        pending += reversed(target.parts[1:] if target.is_absolute() else target.parts)
    return real


def _forbidden(path: PurePosixPath, mounts: Sequence[Mount]) -> Mount | None:
    """Return the share that a path lies on, or the automount that access to it would trigger."""
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
