"""Retention: bundles that are too old or too much are deleted, and nothing else ever is."""

import logging
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from aod.bundle.output import Entry, OutputDirectory, Record, oldest_first
from aod.host import files

log = logging.getLogger(__name__)

STEP_NS = 3600 * 1_000_000_000
"""A wall clock that moved this far against the monotonic one was set."""

SETTLED_NS = 600 * 1_000_000_000
"""Until so long after the boot the wall clock may be that of a bad battery: nothing is old yet."""

_AUDIT = re.compile(r"audit\.jsonl(\.\d+)?", re.ASCII)


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
    young: Collection[int] = (),
) -> list[Removal]:
    """Return what to delete, oldest first.

    `now_ns` is nanoseconds since the epoch; a time stamp in the future is not old, and neither
    is one that is `young` by another clock. `other_bytes` counts in the total and cannot be
    deleted here. An open directory and the newest sealed bundle always stay.
    """
    newest = newest_sealed(entries, now_ns)
    total = sum(entry.bytes for entry in entries) + other_bytes
    removals = []
    for entry in oldest_first(entries, now_ns):
        if entry is newest or entry.name in open_names:
            continue
        is_over_age = limits.max_age_ns is not None and now_ns - entry.timestamp > limits.max_age_ns
        is_old = is_over_age and entry.timestamp not in young
        if is_old or total > limits.max_total_bytes:
            removals.append(Removal(entry, "age" if is_old else "size"))
            total -= entry.bytes
    return removals


def newest_sealed(entries: Sequence[Entry], now_ns: int) -> Entry | None:
    """Return the newest sealed bundle: it stays even over the limits."""
    sealed = [entry for entry in oldest_first(entries, now_ns) if entry.is_sealed]
    return sealed[-1] if sealed else None


class WallClock:
    """Finds out when wall time was stepped, by comparing it with CLOCK_BOOTTIME.

    That one is never set, and goes on while the machine is suspended.
    """

    def __init__(self) -> None:
        self._offset_ns: int | None = None

    def stepped(self, wall_ns: int, boottime_ns: int) -> bool:
        """Return whether wall time moved by over an hour against boot time since the last call."""
        offset_ns, last_ns = wall_ns - boottime_ns, self._offset_ns
        self._offset_ns = offset_ns
        return last_ns is not None and abs(offset_ns - last_ns) > STEP_NS


class FirstSeen:
    """Knows how old a bundle is at most, whatever the wall clock says: when it was first seen."""

    def __init__(self) -> None:
        self._seen_ns: dict[int, int | None] | None = None

    def note(self, entries: Sequence[Entry], boottime_ns: int) -> None:
        """Note which bundles are there; those of the first time may have any age."""
        known = self._seen_ns
        self._seen_ns = {
            entry.timestamp: None if known is None else known.get(entry.timestamp, boottime_ns)
            for entry in entries
        }

    def younger_than(self, age_ns: int | None, boottime_ns: int) -> set[int]:
        """Return the time stamps of the bundles that came less than so long ago."""
        return {
            timestamp
            for timestamp, seen_ns in (self._seen_ns or {}).items()
            if seen_ns is not None and age_ns is not None and boottime_ns - seen_ns <= age_ns
        }


class Retention:
    """Keeps one output directory within its limits; `limits` may be replaced at any time.

    `record` is called for each deletion, in the thread that sweeps.
    """

    def __init__(self, output: OutputDirectory, limits: Limits, record: Record) -> None:
        self.limits = limits
        self._output = output
        self._record = record
        self._clock = WallClock()
        self._first_seen = FirstSeen()
        self._warned = ""

    def sweep(self, wall_ns: int, boottime_ns: int) -> list[Removal]:
        """Delete what is over the limits and return it.

        The times are of CLOCK_REALTIME and CLOCK_BOOTTIME. A bundle that came since the first
        sweep is not older than that, though its stamp may be of a clock that was far behind.
        Blocking: call it through asyncio.to_thread, one at a time. What cannot be deleted is
        logged and tried again at the next sweep.
        """
        limits = self.limits
        if self._clock.stepped(wall_ns, boottime_ns):
            log.warning("wall clock was set: nothing is deleted for its age in this run")
            limits = replace(limits, max_age_ns=None)
        if boottime_ns < SETTLED_NS:
            limits = replace(limits, max_age_ns=None)
        entries = self._output.entries()
        # Read after the listing: a directory that is listed was made known as open before.
        open_names = frozenset(
            entry.name
            for entry in entries
            if not entry.is_sealed and self._output.is_open(entry.name)
        )
        other_bytes = _audit_bytes(self._output)
        self._first_seen.note(entries, boottime_ns)
        young = self._first_seen.younger_than(limits.max_age_ns, boottime_ns)
        planned = plan(entries, wall_ns, limits, open_names, other_bytes, young)
        done = [removal for removal in planned if self._remove(removal)]
        removed_bytes = sum(removal.entry.bytes for removal in done)
        kept_bytes = sum(entry.bytes for entry in entries) + other_bytes - removed_bytes
        self._warn(kept_bytes, newest_sealed(entries, wall_ns))
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

    def _warn(self, kept_bytes: int, newest: Entry | None) -> None:
        """Log once per newest bundle that what has to stay is over the limit."""
        is_over = kept_bytes > self.limits.max_total_bytes
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
