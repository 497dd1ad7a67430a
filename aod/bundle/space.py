"""What a bundle may take of the disk, beside what open ones may still take."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from aod.bundle import manifest

OWN_BYTES = 8 << 20
"""Manifest, summary and events: 2.3 MB with 2000 events of one anomaly, measured, 4 MB while the
manifest is renewed; three such anomalies fit."""
EVENTS = "events"
"""What `left_out` calls events.npy and events.csv."""


class Disk(Protocol):
    """The directory of all bundles, as far as its room goes. All of it blocks."""

    def free_bytes(self) -> int:
        """Return what its filesystem has left."""

    def written_bytes(self, name: str) -> int:
        """Return the size of a bundle: of its directory, and of its half-written sealed file."""

    def others_bytes(self) -> int:
        """Return what open bundles of other processes may still write."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What one bundle was granted when it was opened, and why not more."""

    actions: tuple[str, ...]
    left_out: tuple[str, ...]
    free_bytes: int
    reserved_bytes: int
    min_free_bytes: int

    @property
    def has_events(self) -> bool:
        """Whether there is room for more than manifest and summary."""
        return EVENTS not in self.left_out

    def described(self) -> manifest.Disk:
        """Return it as it stands in a manifest."""
        return manifest.Disk(
            self.free_bytes, self.reserved_bytes, self.min_free_bytes, self.left_out
        )


class Reservations:
    """The ledger of what the open bundles of this process may still write; for any thread.

    A bundle may write what its actions may, and then its sealed file, which is at most as
    large, before its directory goes. What it has written already is no longer free, so only
    the rest is reserved.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._promised_bytes: dict[str, int] = {}

    def reserve(
        self, name: str, action_caps: Mapping[str, int], min_free_bytes: int, disk: Disk
    ) -> Grant:
        """Grant a bundle the actions that there is room for, and reserve what they may write."""
        with self._lock:
            # Before what is free: what is written in between then counts twice, not never.
            reserved_bytes = self._still_bytes(disk.written_bytes) + disk.others_bytes()
            free_bytes = disk.free_bytes()
            kept, left_out = fit(action_caps, free_bytes, reserved_bytes, min_free_bytes)
            if free_bytes - reserved_bytes < min_free_bytes:
                left_out.append(EVENTS)
            self._promised_bytes[name] = OWN_BYTES + sum(action_caps[each] for each in kept)
        return Grant(tuple(kept), tuple(left_out), free_bytes, reserved_bytes, min_free_bytes)

    def settle(self, name: str, written_bytes: int) -> None:
        """Reserve for a bundle that has all its files only the sealed one."""
        with self._lock:
            self._promised_bytes[name] = written_bytes

    def release(self, name: str) -> None:
        """Forget a bundle; nothing when it has reserved nothing."""
        with self._lock:
            self._promised_bytes.pop(name, None)

    def _still_bytes(self, written_bytes: Callable[[str], int]) -> int:
        promised = self._promised_bytes.items()
        return sum(max(0, 2 * promise - written_bytes(name)) for name, promise in promised)


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
