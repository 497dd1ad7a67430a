"""The evidence of one incident: a directory while it is collected, one file when sealed.

All of it is blocking: a coroutine calls it through asyncio.to_thread.
"""

import contextlib
import errno
import fcntl
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

from aod.bundle import archive, table
from aod.bundle.archive import SUMMARY
from aod.bundle.manifest import MANIFEST, Digest, Manifest, Operation, dump
from aod.bundle.output import RAW, SEALED, TEMPORARY, OutputDirectory
from aod.events import Events
from aod.host import files

log = logging.getLogger(__name__)

EVENTS_FILES = ("events.npy", "events.csv")
OWN = frozenset({MANIFEST, SUMMARY, *EVENTS_FILES})
"""Names that no action's file may have."""

Clean: TypeAlias = Callable[[Manifest, int, int], Manifest]
"""(manifest, directory to take files from, directory to put them to) -> the manifest to seal.

It takes away each file that it has put there, whole, so that it can be done again."""


class Bundle:
    """One directory that is being filled; `seal` or `close` ends it. A context manager.

    What actions write lies in RAW below it and is never packed: `clean` brings it up.
    """

    def __init__(self, output: OutputDirectory, name: str) -> None:
        """Take over the directory `name`, which is there already.

        Raises BlockingIOError when another process has it.
        """
        self.name = name
        self._output = output
        # Its own descriptor: the output directory may be followed to another one meanwhile.
        self._directory = os.dup(output.fd)
        self._fd = -1
        try:
            self._fd = files.open_directory(name, self._directory)
            # Shows other processes (`aod collect` beside the service) that it is no leftover.
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._close()
            raise
        output.open_names.add(name)

    @classmethod
    def create(cls, output: OutputDirectory, timestamp: int) -> Self:
        """Make a new directory of mode 0700, 1 ns later as often as the name is taken.

        `timestamp` is nanoseconds since the epoch.
        """
        while not (bundle := cls._try_create(output, timestamp)):
            timestamp += 1
        try:
            os.fchmod(bundle._fd, 0o700)
            os.fsync(bundle._directory)
        except OSError:
            bundle.discard()
            raise
        return bundle

    @classmethod
    def _try_create(cls, output: OutputDirectory, timestamp: int) -> Self | None:
        name = _make_directory(output, timestamp)
        if not name:
            return None
        try:
            bundle = cls(output, name)
        except (BlockingIOError, FileNotFoundError):
            # Between mkdir and flock another process may take it for a leftover.
            output.open_names.discard(name)
            return None
        except OSError:
            output.open_names.discard(name)
            files.remove(name, output.fd)
            raise
        if bundle._is_in_place():
            return bundle
        bundle.close()
        return None

    @property
    def timestamp(self) -> int:
        """Nanoseconds since the epoch, as in the name."""
        return int(self.name.removeprefix("aod_"))

    @property
    def path(self) -> Path:
        """Where it is, for a child that cannot be given a descriptor."""
        return self._output.path / self.name

    def create_file(self, name: str) -> int:
        """Create an action's file of mode 0600 and return its descriptor, which the caller closes.

        Raises ValueError when `name` is not a plain file name, FileExistsError when taken.
        """
        if files.plain_name(name) in OWN:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        raw = self._open_raw()
        try:
            return files.create(name, raw)
        finally:
            os.close(raw)

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file, or nothing of it, through to the disk."""
        files.write_atomic(files.plain_name(name), data, self._fd)

    def write_manifest(self, manifest: Manifest) -> None:
        """Write or replace manifest.json."""
        self.write(MANIFEST, dump(manifest))

    def write_events(self, events: Events, operations: Iterable[Operation]) -> None:
        """Write events.npy, and events.csv with the same in words."""
        npy, csv = EVENTS_FILES
        self.write(npy, table.as_npy(events))
        self.write(csv, table.as_csv(operations))

    def clean(self, manifest: Manifest, clean: Clean) -> Manifest:
        """Bring the files of actions to where they are packed from; return the clean manifest.

        Being cut off in it is harmless: what is done stays done, the rest is still raw. Raises
        OSError.
        """
        raw = self._open_raw()
        try:
            cleaned = clean(manifest, raw, self._fd)
        finally:
            os.close(raw)
        files.remove(RAW, self._fd)
        return cleaned

    def seal(self, manifest: Manifest) -> Path:
        """Turn the directory into one file with `manifest`, and return that file.

        Fills `files` with size and SHA-256. When it fails (OSError), no part of the sealed
        file stays, and the directory does, for `recover`.
        """
        with self:
            written_bytes = self._output.written_bytes(self.name)
            self._output.reservations.settle(self.name, written_bytes)
            digests = archive.digests(self._fd)
            self.write_manifest(replace(manifest, files=digests))
            self._pack(digests)
            try:
                files.remove(self.name, self._directory)
            except OSError as error:
                log.warning("sealed, but its directory stays: %s: %s", self.name, error)
        return self.path.with_name(self.name + SEALED)

    def read(self, name: str) -> bytes:
        """Return a whole file; raises OSError, BundleError for one too large, ValueError else."""
        return archive.read_file(name, self._fd)

    def has_sealed_file(self) -> bool:
        """Return whether its sealed file is there already."""
        return _exists(self.name + SEALED, self._directory)

    def discard(self) -> None:
        """Remove the directory and let go; what cannot be removed is left to `recover`."""
        with self, contextlib.suppress(OSError):
            files.remove(self.name, self._directory)

    def close(self) -> None:
        """Let go of the directory as it is; nothing when that was done."""
        if self._fd >= 0:
            self._close()
            self._output.open_names.discard(self.name)
            self._output.reservations.release(self.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _close(self) -> None:
        for fd in (self._fd, self._directory):
            if fd >= 0:
                os.close(fd)
        self._fd = self._directory = -1

    def _open_raw(self) -> int:
        with contextlib.suppress(FileExistsError):
            os.mkdir(RAW, 0o700, dir_fd=self._fd)
        raw = files.open_directory(RAW, self._fd)
        try:
            os.fchmod(raw, 0o700)
        except OSError:
            os.close(raw)
            raise
        return raw

    def _is_in_place(self) -> bool:
        try:
            there = os.stat(self.name, dir_fd=self._directory, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(self._fd))

    def _pack(self, digests: Mapping[str, Digest]) -> None:
        directory, temporary = self._directory, self.name + TEMPORARY
        files.unlink_missing(temporary, directory)
        try:
            with os.fdopen(files.create(temporary, directory), "wb") as file:
                archive.pack(file, self.name, digests, self._fd)
                file.flush()
                os.fsync(file.fileno())
            final = self.name + SEALED
            os.rename(temporary, final, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            files.unlink_missing(temporary, directory)
            raise
        os.fsync(directory)


def _make_directory(output: OutputDirectory, timestamp: int) -> str:
    """Make the directory of `timestamp` and return its name, or "" when that is taken."""
    name = f"aod_{timestamp:019d}"
    if name in output.open_names or _exists(name + SEALED, output.fd):
        return ""
    # Known as open before it can be seen, or a cleanup in between could take it.
    output.open_names.add(name)
    try:
        os.mkdir(name, 0o700, dir_fd=output.fd)
    except OSError as error:
        output.open_names.discard(name)
        if isinstance(error, FileExistsError):
            return ""
        raise
    return name


def _exists(name: str, dir_fd: int) -> bool:
    try:
        os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
