"""The directory of all bundles: what in it is ours, and how large that is.

All of it is blocking: a coroutine calls it through asyncio.to_thread.
"""

import contextlib
import errno
import fcntl
import logging
import os
import re
import stat
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from aod.bundle.space import Reservations
from aod.errors import HostError
from aod.host import directories, files, mounts
from aod.host.paths import resolved, share_problems

log = logging.getLogger(__name__)

SEALED = ".tar.zst"
TEMPORARY = ".tar.zst.tmp"
RAW = "raw"
"""Directory in a bundle's for what may hold secrets and names, and is not packed."""
AHEAD_NS = 60 * 1_000_000_000
"""A time stamp may be so far in the future before it counts as one of a wrong clock."""

_OURS = re.compile(r"aod_(\d{19})(\.tar\.zst|\.tar\.zst\.tmp)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """One bundle in the output directory; `timestamp` is the ns since the epoch of its name."""

    name: str
    timestamp: int
    is_sealed: bool
    bytes: int


class Record(Protocol):
    """Takes note of a deletion, e.g. in the audit log."""

    def __call__(self, event: str, /, **facts: str | int) -> None:
        """Note `event` ("delete") with its `file`, `bytes` and `reason`."""


def oldest_first(entries: Iterable[Entry], now_ns: int) -> list[Entry]:
    """Return the bundles in the order of their time stamps, those from the future first.

    They were made while the clock was wrong. As the newest they would stay for ever, and every
    bundle that is made after the clock was put right would be deleted in their favour.
    """

    def age(entry: Entry) -> tuple[bool, int, bool]:
        return entry.timestamp <= now_ns + AHEAD_NS, entry.timestamp, entry.is_sealed

    return sorted(entries, key=age)


class OutputDirectory:
    """The directory of all bundles, held by its descriptor; a context manager."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.fd = fd
        self.open_names: set[str] = set()
        """Directories that are being collected into or sealed: never cleaned up."""
        self.reservations = Reservations()
        self.troubled: set[str] = set()
        """Leftovers that could not be dealt with, and were logged."""
        self.complaint = ""
        """Why nothing can be written to it, as the last `follow` found."""
        self.cut_off: Future[None] = Future()
        """Done when only a new start of the process mends that, as `follow` found."""
        self._is_locked = False
        self._following = threading.Lock()

    @classmethod
    def open(cls, path: Path, *, create: bool = True) -> Self:
        """Open the directory to write to it, made with mode 0700 when it is missing.

        With `create` false it is opened as it is, to look into. Raises HostError when
        it is a link, no directory, not to be had, or, to write to, not safe from others.
        """
        try:
            return cls(
                path, directories.open_directory(path) if create else files.open_directory(path)
            )
        except directories.RefusedError as error:
            reason = f"cannot use the output directory {path}: {error.strerror}"
            raise HostError(reason) from error
        except OSError as error:
            raise HostError(_cannot_open(path, error)) from error

    def lock(self) -> None:
        """Claim the directory for this process until it is closed.

        Raises HostError when another process has it: that one's open bundles would
        be taken for leftovers.
        """
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HostError(
                f"cannot use the output directory {self.path}: another aod writes to it "
                "(stop that one, or set another aod_output_dir)"
            ) from error
        self._is_locked = True

    def follow(self) -> bool:
        """Take the directory that stands at the path now; return whether that is another one.

        It is made when there is none, and claimed when the one before was. The descriptor
        keeps its number, so that whoever holds it follows; open bundles stay with the one that
        they are in. Raises OSError when it is not to be had (a link, a share, another aod's) or
        read-only; `complaint` then has the reason.
        """
        with self._following:
            try:
                is_another = self._catch_up()
                self._refuse_read_only()
            except OSError as error:
                self.complaint = error.strerror or str(error)
                if error.errno != errno.EROFS or not _is_held_shut(self.path):
                    raise
                self.complaint = _cut_off(self.path)
                self._note_cut_off()
                raise OSError(errno.EROFS, self.complaint) from error
            self.complaint = ""
        return is_another

    def _note_cut_off(self) -> None:
        if not self.cut_off.done():
            self.cut_off.set_result(None)

    def is_open(self, name: str) -> bool:
        """Return whether a bundle's directory is being collected into, by whichever process."""
        if name in self.open_names:
            return True
        try:
            fd = files.open_directory(name, self.fd)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def free_bytes(self) -> int:
        """Return what its filesystem has left for unprivileged use."""
        filesystem = os.statvfs(self.fd)
        return filesystem.f_bavail * filesystem.f_frsize

    def written_bytes(self, name: str) -> int:
        """Return the size of a bundle's directory and of its half-written sealed file."""
        written = 0
        for measure, each in ((self._directory_bytes, name), (self._file_bytes, name + TEMPORARY)):
            with contextlib.suppress(OSError):
                written += measure(each)
        return written

    def others_bytes(self) -> int:
        """Return what the open bundles of other processes may still write.

        Their limits are not known here: each is taken to grow by its present size, which is
        what its sealed file may need.
        """
        return sum(
            entry.bytes
            for entry in self.entries()
            if not entry.is_sealed
            and entry.name not in self.open_names
            and self.is_open(entry.name)
        )

    def entries(self) -> list[Entry]:
        """Return the bundles, oldest first; only real files and directories of our own."""
        found = [entry for name in files.names(self.fd) if (entry := self._entry(name))]
        return oldest_first(found, time.time_ns())

    def of_others(self) -> list[str]:
        """Return what is named like a bundle and belongs to another user."""
        named = [name for name in files.names(self.fd) if _is_bundle_name(name)]
        return sorted(name for name in named if self._owner(name) not in (None, os.geteuid()))

    def temporaries(self) -> list[str]:
        """Return the half-written sealed files of ours."""
        names = [name for name in files.names(self.fd) if name.endswith(TEMPORARY)]
        return [name for name in names if _OURS.fullmatch(name) and self._is_own(name)]

    def remove(self, name: str) -> None:
        """Remove a file or a whole directory of ours, without following a link."""
        files.remove(name, self.fd)

    def close(self) -> None:
        """Close the descriptor, which also ends the claim of `lock`."""
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _catch_up(self) -> bool:
        _refuse_share(self.path)
        if self._is_at_path():
            return False
        was = "replaced" if os.path.lexists(self.path) else "removed"
        try:
            self._take_over()
        except HostError as error:
            code = getattr(error.__cause__, "errno", None) or errno.EIO
            raise OSError(code, str(error)) from error
        behind = ",".join(sorted(self.open_names)) or "none"
        log.warning("output directory was %s: path=%s left_behind=%s", was, self.path, behind)
        return True

    def _refuse_read_only(self) -> None:
        if os.statvfs(self.fd).f_flag & os.ST_RDONLY:
            reason = f"cannot write to the output directory {self.path}: it is mounted read-only"
            raise OSError(errno.EROFS, reason)

    def _is_at_path(self) -> bool:
        try:
            there = self.path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return os.path.samestat(there, os.fstat(self.fd))

    def _take_over(self) -> None:
        with type(self).open(self.path) as successor:
            if self._is_locked:
                successor.lock()
            # The claim is the open file's: it lives on in the copy.
            os.dup2(successor.fd, self.fd, inheritable=False)

    def _entry(self, name: str) -> Entry | None:
        match = _OURS.fullmatch(name)
        if not match or match[2] == TEMPORARY or not self._is_own(name):
            return None
        is_sealed = match[2] == SEALED
        try:
            size = self._file_bytes(name) if is_sealed else self._directory_bytes(name)
        except OSError as error:
            # One that vanishes, or cannot be read, must not hide the others.
            log.warning("bundle left out: name=%s: %s", name, error)
            return None
        return Entry(name, int(match[1]), is_sealed, size)

    def _is_own(self, name: str) -> bool:
        """Return whether `name` is of the type that its name promises, and belongs to us."""
        try:
            found = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        expected = stat.S_ISREG if name.endswith((SEALED, TEMPORARY)) else stat.S_ISDIR
        return found.st_uid == os.geteuid() and expected(found.st_mode)

    def _owner(self, name: str) -> int | None:
        try:
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False).st_uid
        except FileNotFoundError:
            return None

    def _file_bytes(self, name: str) -> int:
        return os.stat(name, dir_fd=self.fd, follow_symlinks=False).st_size

    def _directory_bytes(self, name: str) -> int:
        fd = files.open_directory(name, self.fd)
        try:
            written = _files_bytes(fd)
            with contextlib.suppress(FileNotFoundError):
                raw = files.open_directory(RAW, fd)
                try:
                    written += _files_bytes(raw)
                finally:
                    os.close(raw)
            return written
        finally:
            os.close(fd)


def _files_bytes(dir_fd: int) -> int:
    return sum(found.st_size for found in files.regular_files(dir_fd).values())


def _refuse_share(path: Path) -> None:
    for problem in share_problems(path, mounts.read()):
        raise OSError(errno.EREMOTE, problem)


def _is_held_shut(path: Path) -> bool:
    table = mounts.read()
    mount = mounts.mount_of(resolved(path, table), table)
    return mount is not None and mount.is_held_shut


def _cut_off(path: Path) -> str:
    return (
        f"cannot write to the output directory {path}: it was removed or replaced, and a new one "
        "is read-only for the unit that runs (make it, and restart aod)"
    )


def _is_bundle_name(name: str) -> bool:
    match = _OURS.fullmatch(name)
    return match is not None and match[2] != TEMPORARY


def _cannot_open(path: Path, error: OSError) -> str:
    if path.is_symlink():
        advice = "it is a link; name the directory itself"
    elif isinstance(error, FileNotFoundError):
        advice = "there is none; aod run makes it, or set --dir"
    elif isinstance(error, PermissionError):
        advice = "run as root, or give this user the directory"
    else:
        advice = "set aod_output_dir to a directory on a local, writable filesystem"
    return f"cannot open the output directory {path}: {error.strerror} ({advice})"
