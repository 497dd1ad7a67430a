"""The evidence of one incident: a directory while it is collected, one file when sealed.

All of it is blocking: a coroutine calls it through asyncio.to_thread.
"""

import contextlib
import csv
import fcntl
import io
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from aod.bundle import archive, files
from aod.bundle.archive import MANIFEST, SUMMARY
from aod.bundle.output import SEALED, TEMPORARY, Entry, OutputDirectory
from aod.errors import BundleError
from aod.events import Events

log = logging.getLogger(__name__)

COLUMNS = (
    "time",
    "time_ns",
    "kind",
    "cause",
    "command",
    "latency_ns",
    "queue_ns",
    "server_ns",
    "payload_ns",
    "pended_ns",
    "threshold_ns",
    "status",
    "status_code",
    "error",
    "server",
    "channel",
    "share",
    "connection_id",
    "session_id",
    "tree_id",
    "message_id",
    "file_id",
    "file",
    "unit",
    "pid",
    "tid",
    "uid",
    "comm",
    "flags",
    "request_bytes",
    "response_bytes",
    "credits_granted",
    "in_flight",
    "compound_index",
)
"""The columns of events.csv: the keys of an event in the manifest."""


class Bundle:
    """One directory that is being filled; `seal` or `close` ends it. A context manager."""

    def __init__(self, output: OutputDirectory, name: str) -> None:
        """Take over the directory `name`, which is there already."""
        self.name = name
        self._output = output
        self._fd = files.open_directory(name, output.fd)
        # Tells other processes (`aod collect` beside the service) that it is no leftover.
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        output.open_names.add(name)

    @classmethod
    def create(cls, output: OutputDirectory, timestamp: int) -> Self:
        """Make a new directory of mode 0700, 1 ns later as often as the name is taken.

        `timestamp` is nanoseconds since the epoch.
        """
        while not (name := _make_directory(output, timestamp)):
            timestamp += 1
        bundle = cls(output, name)
        os.fchmod(bundle._fd, 0o700)
        os.fsync(output.fd)
        return bundle

    @property
    def timestamp(self) -> int:
        """Nanoseconds since the epoch, as in the name."""
        return int(self.name.removeprefix("aod_"))

    @property
    def path(self) -> Path:
        """Where it is, for a child that cannot be given a descriptor."""
        return self._output.path / self.name

    def create_file(self, name: str) -> int:
        """Create a file of mode 0600 and return its descriptor, which the caller closes.

        Raises ValueError when `name` is not a plain file name, FileExistsError when taken.
        """
        return files.create(files.plain_name(name), self._fd)

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file, or nothing of it, through to the disk."""
        files.write_atomic(files.plain_name(name), data, self._fd)

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Write or replace manifest.json."""
        self.write(MANIFEST, json.dumps(manifest, indent=1).encode())

    def write_events(self, events: Events, rows: Iterable[Mapping[str, object]]) -> None:
        """Write events.npy (dtype EVENT) and events.csv (`rows` of COLUMNS)."""
        array = io.BytesIO()
        np.save(array, events, allow_pickle=False)
        self.write("events.npy", array.getvalue())
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows({**row, "flags": "|".join(_flags(row))} for row in rows)
        self.write("events.csv", text.getvalue().encode(errors="backslashreplace"))

    def seal(self, manifest: Mapping[str, Any]) -> Path:
        """Turn the directory into one file with `manifest`, and return that file.

        Fills `files` with size and SHA-256. When it fails (OSError), no part of the sealed
        file stays, and the directory does, for `recover` at the next start.
        """
        with self:
            digests = archive.digests(self._fd)
            known = {name: asdict(digest) for name, digest in digests.items()}
            self.write_manifest({**manifest, "files": known})
            self._pack(digests)
            try:
                self._output.remove(self.name)
            except OSError as error:
                log.warning("sealed, but its directory stays: %s: %s", self.name, error)
        return self.path.with_name(self.name + SEALED)

    def close(self) -> None:
        """Let go of the directory as it is; nothing when that was done."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._output.open_names.discard(self.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _pack(self, digests: Mapping[str, archive.Digest]) -> None:
        directory, temporary = self._output.fd, self.name + TEMPORARY
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


def recover(
    output: OutputDirectory, render: Callable[[Mapping[str, Any]], str] | None = None
) -> list[str]:
    """Bring what an earlier run left to an end; return the names that were dealt with.

    A sealed file wins over its directory; a directory with a manifest is sealed as
    `interrupted`, with a new summary made by `render`; one without is removed. Every step
    can be repeated, so being killed in it is harmless. What fails is logged and left.
    """
    done = []
    for name in output.temporaries():
        with _survived(name):
            output.remove(name)
            done.append(name)
    entries = output.entries()
    sealed = {entry.timestamp for entry in entries if entry.is_sealed}
    for entry in entries:
        if entry.is_sealed or output.is_open(entry.name):
            continue
        with _survived(entry.name):
            _recover(output, entry, entry.timestamp in sealed, render)
            done.append(entry.name)
    return done


def fit(
    action_caps: Mapping[str, int], free_bytes: int, reserved_bytes: int, min_free_bytes: int
) -> tuple[list[str], list[str]]:
    """Return which actions the disk has room for, and which it has not.

    `action_caps` is the most bytes each may write, `reserved_bytes` what open incidents may
    still write. The largest are dropped first; of equals, the last named.
    """
    left = free_bytes - reserved_bytes - min_free_bytes
    kept, dropped = list(action_caps), []
    while kept and sum(action_caps[name] for name in kept) > left:
        largest = max(reversed(kept), key=action_caps.__getitem__)
        kept.remove(largest)
        dropped.append(largest)
    return kept, dropped


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


def _flags(row: Mapping[str, object]) -> list[str]:
    flags = row.get("flags", ())
    return [str(flag) for flag in flags] if isinstance(flags, (list, tuple)) else []


def _recover(
    output: OutputDirectory,
    entry: Entry,
    is_sealed: bool,
    render: Callable[[Mapping[str, Any]], str] | None,
) -> None:
    manifest = None if is_sealed else _leftover_manifest(output, entry.name)
    if manifest is None:
        output.remove(entry.name)
        log.info("leftover removed: name=%s sealed=%s", entry.name, is_sealed)
        return
    manifest["state"] = "interrupted"
    with Bundle(output, entry.name) as bundle:
        if render:
            bundle.write(SUMMARY, render(manifest).encode(errors="backslashreplace"))
        bundle.seal(manifest)
    log.info("leftover sealed as interrupted: name=%s", entry.name)


def _leftover_manifest(output: OutputDirectory, name: str) -> dict[str, Any] | None:
    fd = files.open_directory(name, output.fd)
    try:
        return archive.parse_manifest(archive.read_file(MANIFEST, fd), name)
    except (FileNotFoundError, BundleError, ValueError):
        return None
    finally:
        os.close(fd)


@contextlib.contextmanager
def _survived(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        log.warning("leftover stays, tried again at the next start: name=%s: %s", name, error)
