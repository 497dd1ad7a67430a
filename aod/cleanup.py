"""Retention: bundles that are too old or too much are deleted, and nothing else ever is."""

import logging
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from aod.bundle import files
from aod.bundle.output import Entry, OutputDirectory

log = logging.getLogger(__name__)

STEP_NS = 3600 * 1_000_000_000
"""A wall clock that moved this far against the monotonic one was set."""

_AUDIT = re.compile(r"audit\.jsonl(\.\d+)?", re.ASCII)


class Record(Protocol):
    """Takes note of a deletion, e.g. in the audit log."""

    def __call__(self, event: str, /, **facts: str | int) -> None:
        """Note `event` ("delete") with its `file`, `bytes` and `reason`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept: `max_age_ns` None keeps any age."""

    max_age_ns: int | None
    max_total_bytes: int


@dataclass(frozen=True, slots=True)
class Removal:
    """One bundle to delete, because of its `age` or of the total `size`."""

    entry: Entry
    reason: str


def plan(
    entries: Sequence[Entry],
    now_ns: int,
    limits: Limits,
    open_names: Collection[str],
    other_bytes: int = 0,
) -> list[Removal]:
    """Return what to delete, oldest first.

    `now_ns` is nanoseconds since the epoch; a time stamp in the future is not old.
    `other_bytes` counts in the total and cannot be deleted here. An open directory and the
    newest sealed bundle always stay.
    """
    newest = newest_sealed(entries)
    removable = [e for e in entries if e is not newest and e.name not in open_names]
    removable.sort(key=lambda entry: (entry.timestamp, entry.name))
    total = sum(entry.bytes for entry in entries) + other_bytes
    removals = []
    for entry in removable:
        is_old = limits.max_age_ns is not None and now_ns - entry.timestamp > limits.max_age_ns
        if is_old or total > limits.max_total_bytes:
            removals.append(Removal(entry, "age" if is_old else "size"))
            total -= entry.bytes
    return removals


def newest_sealed(entries: Sequence[Entry]) -> Entry | None:
    """Return the newest sealed bundle: it stays even over the limits."""
    sealed = [entry for entry in entries if entry.is_sealed]
    return max(sealed, key=lambda entry: entry.timestamp, default=None)


class WallClock:
    """Tells when wall time was stepped, by comparing it with monotonic time."""

    def __init__(self) -> None:
        self._offset_ns: int | None = None

    def stepped(self, wall_ns: int, monotonic_ns: int) -> bool:
        """Tell whether wall time moved by over an hour against monotonic since the last call."""
        offset_ns, last_ns = wall_ns - monotonic_ns, self._offset_ns
        self._offset_ns = offset_ns
        return last_ns is not None and abs(offset_ns - last_ns) > STEP_NS


class Cleanup:
    """Keeps one output directory within its limits; `limits` may be replaced at any time.

    `record` is called for each deletion, in the thread that sweeps.
    """

    def __init__(self, output: OutputDirectory, limits: Limits, record: Record) -> None:
        self.limits = limits
        self._output = output
        self._record = record
        self._clock = WallClock()
        self._warned = ""

    def sweep(self, wall_ns: int, monotonic_ns: int) -> list[Removal]:
        """Delete what is over the limits and return it.

        Blocking: call it through asyncio.to_thread, one at a time. What cannot be deleted is
        logged and tried again at the next sweep.
        """
        limits = self.limits
        if self._clock.stepped(wall_ns, monotonic_ns):
            log.warning("wall clock was set: nothing is deleted for its age in this run")
            limits = replace(limits, max_age_ns=None)
        entries = self._output.entries()
        # Read after the listing: a directory that is listed was made known as open before.
        open_names = frozenset(
            entry.name
            for entry in entries
            if not entry.is_sealed and self._output.is_open(entry.name)
        )
        other_bytes = _audit_bytes(self._output)
        planned = plan(entries, wall_ns, limits, open_names, other_bytes)
        done = [removal for removal in planned if self._remove(removal)]
        removed_bytes = sum(removal.entry.bytes for removal in done)
        kept_bytes = sum(entry.bytes for entry in entries) + other_bytes - removed_bytes
        self._warn(kept_bytes, entries)
        return done

    def _remove(self, removal: Removal) -> bool:
        entry = removal.entry
        try:
            self._output.remove(entry.name)
        except OSError as error:
            log.warning("bundle not deleted, tried again later: name=%s: %s", entry.name, error)
            return False
        log.info("bundle deleted: name=%s reason=%s", entry.name, removal.reason)
        self._record("delete", file=entry.name, bytes=entry.bytes, reason=removal.reason)
        return True

    def _warn(self, kept_bytes: int, entries: Sequence[Entry]) -> None:
        """Log once per newest bundle that what has to stay is over the limit."""
        is_over = kept_bytes > self.limits.max_total_bytes
        newest = newest_sealed(entries)
        warned = newest.name if is_over and newest else "open bundles" if is_over else ""
        if warned and warned != self._warned:
            log.warning(
                "output directory stays over its limit (raise max_total_log_size_mb): "
                "kept=%s total_bytes=%d max_bytes=%d",
                warned,
                kept_bytes,
                self.limits.max_total_bytes,
            )
        self._warned = warned


def _audit_bytes(output: OutputDirectory) -> int:
    found = files.regular_files(output.fd)
    return sum(status.st_size for name, status in found.items() if _AUDIT.fullmatch(name))
