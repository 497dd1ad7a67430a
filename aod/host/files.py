"""Files opened relative to a directory descriptor: no links, no umask, nothing half written."""

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# A FIFO opened for reading would block without O_NONBLOCK.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def plain_name(name: str) -> str:
    """Return `name` when it is a plain file name; raise ValueError when it could lead elsewhere."""
    if not _PLAIN.fullmatch(name):
        raise ValueError(f"not a plain file name: {name!r} (letters, digits, . _ - only)")
    return name


def open_directory(path: str | Path, dir_fd: int | None = None) -> int:
    """Return a descriptor of a real directory; OSError (ENOTDIR or ELOOP) for a link."""
    return os.open(path, _DIRECTORY, dir_fd=dir_fd)


def open_regular(name: str | Path, dir_fd: int | None = None) -> int:
    """Return a descriptor to read a regular file from; OSError for a link, ValueError else."""
    fd = os.open(name, _READ, dir_fd=dir_fd)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ValueError(f"not a regular file: {name}")
    return fd


def create(name: str, dir_fd: int) -> int:
    """Create a new file of mode 0600, whatever the umask, and return its descriptor."""
    fd = os.open(name, _CREATE, 0o600, dir_fd=dir_fd)
    try:
        os.fchmod(fd, 0o600)
    except OSError:
        os.close(fd)
        raise
    return fd


def write_atomic(name: str, data: bytes, dir_fd: int) -> None:
    """Write a whole file or nothing."""
    with written_atomic(name, dir_fd) as file:
        file.write(data)


@contextlib.contextmanager
def written_atomic(name: str, dir_fd: int) -> Iterator[BinaryIO]:
    """Yield a hidden temporary file that gets its name when it is whole and on the disk.

    It has none yet while the context lasts; when what is done in it raises, nothing stays.
    """
    temporary = f".{name}.tmp"
    unlink_missing(temporary, dir_fd)
    try:
        with os.fdopen(create(temporary, dir_fd), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    except BaseException:
        unlink_missing(temporary, dir_fd)
        raise
    os.fsync(dir_fd)


def unlink_missing(name: str, dir_fd: int) -> None:
    """Remove a file, or do nothing when there is none."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=dir_fd)


def remove(name: str, dir_fd: int) -> None:
    """Remove a file, or a directory with all in it; links are removed, never followed."""
    try:
        is_directory = stat.S_ISDIR(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode)
        if is_directory:
            shutil.rmtree(name, dir_fd=dir_fd)
        else:
            os.unlink(name, dir_fd=dir_fd)
    except FileNotFoundError:
        return


def regular_files(dir_fd: int) -> dict[str, os.stat_result]:
    """Return the regular files of a directory by name; hidden ones and links are left out."""
    found: dict[str, os.stat_result] = {}
    with os.scandir(dir_fd) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                about = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(about.st_mode) and not entry.name.startswith("."):
                    found[entry.name] = about
    return dict(sorted(found.items()))


def names(dir_fd: int) -> list[str]:
    """Return the names in a directory, in no order."""
    with os.scandir(dir_fd) as entries:
        return [entry.name for entry in entries]
