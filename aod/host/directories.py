"""Directories of our own: for the owner alone, and reached by no link of somebody else."""

import contextlib
import errno
import logging
import os
import stat
from pathlib import Path

log = logging.getLogger(__name__)

MAX_LINKS = 40
"""Symbolic links in one path that the kernel follows (MAXSYMLINKS, fs/namei.c)."""

_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
# O_PATH: to go through a directory takes no right to list it.
_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_FINAL = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class RefusedError(PermissionError):
    """A directory that is not safe to use; `strerror` says why, and what to do about it."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EPERM, reason)


def open_directory(path: Path, *, create: bool = True, tighten: bool = False) -> int:
    """Return a descriptor of an absolute directory that is ours and that no other can write.

    What is missing is made with mode 0700 when `create`. `tighten` takes away what rights
    others have on it, which is for directories that hold nothing but our own; without it one
    that others can write is refused, and one that they can read is logged. A link on the way
    must be of root or ours, the directory itself must be none. Blocking; raises RefusedError, or
    the OSError of what cannot be opened or made.
    """
    with contextlib.ExitStack() as opened:
        parent = _parent(path, create, opened)
        fd = _open_last(path, parent, create)
        try:
            if tighten and os.fstat(fd).st_uid == os.geteuid():
                os.fchmod(fd, 0o700)
            status = os.fstat(fd)
            if reason := objection(path, status):
                raise RefusedError(reason)
        except BaseException:
            os.close(fd)
            raise
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        log.warning("others can list this directory (chmod 0700 it): path=%s", path)
    return fd


def objection(path: Path, status: os.stat_result) -> str:
    """Return why a directory that exists is not fit for what is private, or ""."""
    if status.st_uid != os.geteuid():
        return f"it belongs to uid {status.st_uid} (chown {os.geteuid()} {path}, or name another)"
    if status.st_mode & _BY_OTHERS:
        return f"others can write to it (chmod go-w {path}, or name another)"
    return ""


def _parent(path: Path, create: bool, opened: contextlib.ExitStack) -> int:
    """Return a descriptor of the directory that holds `path`, reached a name at a time."""
    if not path.is_absolute() or len(path.parts) < 2 or ".." in path.parts:
        raise OSError(errno.EINVAL, "it must be an absolute path without ..", str(path))
    pending = list(reversed(path.parts[1:-1]))
    at = _keep(os.open("/", _STEP | os.O_DIRECTORY), opened)
    links = 0
    while pending:
        name = pending.pop()
        step = _keep(_open_step(name, at, create), opened)
        if stat.S_ISLNK(os.fstat(step).st_mode):
            links += 1
            target = _trusted_target(name, step, links)
            pending += reversed([part for part in target.parts if part != "/"])
            at = _keep(os.open("/", _STEP | os.O_DIRECTORY), opened) if target.root else at
        else:
            at = step
    return at


def _open_step(name: str, at: int, create: bool) -> int:
    with contextlib.suppress(FileNotFoundError):
        return os.open(name, _STEP, dir_fd=at)
    if create:
        _make(name, at)
    return os.open(name, _STEP, dir_fd=at)


def _trusted_target(name: str, link: int, links: int) -> Path:
    """Return where a link leads that is open as `link`; refuse one that another user made."""
    owner = os.fstat(link).st_uid
    if owner not in (0, os.geteuid()):
        raise RefusedError(f"{name} in it is a link of uid {owner} (name the directory behind it)")
    if links > MAX_LINKS:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name)
    return Path(os.readlink("", dir_fd=link))


def _open_last(path: Path, parent: int, create: bool) -> int:
    with contextlib.suppress(FileNotFoundError):
        return os.open(path.name, _FINAL, dir_fd=parent)
    if create:
        _make(path.name, parent)
    return os.open(path.name, _FINAL, dir_fd=parent)


def _make(name: str, parent: int) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent)


def _keep(fd: int, opened: contextlib.ExitStack) -> int:
    opened.callback(os.close, fd)
    return fd
