"""Which anomaly may open a bundle, and which is only counted."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from aod.bundle import manifest
from aod.clock import iso
from aod.detectors.anomaly import Anomaly, AnomalyType
from aod.detectors.words import words_of

HOUR_NS = 3_600_000_000_000
RESERVED = 2
"""Bundles of the hour that are kept for emergencies and other urgent kinds."""


@dataclass(slots=True)
class Suppressed:
    """Anomalies of one name that opened no bundle; times in nanoseconds since the epoch."""

    name: str
    count: int
    first_ns: int
    last_ns: int
    worst_latency_ns: int

    def described(self) -> manifest.Suppressed:
        """Return it as it stands in a manifest."""
        first, last = iso(self.first_ns), iso(self.last_ns)
        return manifest.Suppressed(self.name, self.count, first, last, self.worst_latency_ns)


@dataclass(slots=True)
class Cooldown:
    """The quiet time of an anomaly's key; `repeated` when the trouble came back in it."""

    until_ns: int
    length_ns: int
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class SavedCooldowns:
    """What has to survive a restart; times in CLOCK_MONOTONIC nanoseconds but those of Suppressed.

    `opened_ns` has when bundles were opened.
    """

    cooldowns: dict[str, Cooldown] = field(default_factory=dict)
    opened_ns: tuple[int, ...] = ()
    suppressed: tuple[Suppressed, ...] = ()


@dataclass(slots=True)
class Cooldowns:
    """Holds anomalies back for a while after a bundle, longer while the trouble lasts.

    A cooldown runs from the sealing and is not extended. When there were repeats in it, the
    next one is twice as long, up to `max_cooldown_ns`; after a quiet one it starts anew. In
    an hour at most `max_per_hour` bundles open, the last two for what is urgent; what somebody
    asked for is always opened. Times are CLOCK_MONOTONIC nanoseconds that the caller gives.
    """

    max_cooldown_ns: int
    max_per_hour: int
    _cooldowns: dict[str, Cooldown] = field(default_factory=dict)
    _opened_ns: list[int] = field(default_factory=list)
    _suppressed: dict[str, Suppressed] = field(default_factory=dict)

    def admit(self, anomaly: Anomaly, now_ns: int) -> str | None:
        """Open for the anomaly, or return why it is held back; then it is counted."""
        reason = self._objection(anomaly, now_ns)
        if reason is None:
            self._opened_ns.append(now_ns)
        else:
            self._count(anomaly)
        return reason

    def sealed(self, key: str, cooldown_ns: int, now_ns: int) -> int:
        """Start the cooldown of an anomaly's key; return its length in nanoseconds."""
        before = self._cooldowns.get(key)
        length_ns = cooldown_ns
        if before and before.repeated:
            length_ns = max(cooldown_ns, min(2 * before.length_ns, self.max_cooldown_ns))
        self._cooldowns[key] = Cooldown(now_ns + length_ns, length_ns)
        return length_ns

    def refused(self, key: str, cooldown_ns: int, now_ns: int) -> None:
        """Start a plain cooldown: with no bundle kept, the next try must not be far off."""
        self._cooldowns[key] = Cooldown(now_ns + cooldown_ns, cooldown_ns)

    @property
    def held_back(self) -> tuple[Suppressed, ...]:
        """What was held back since the last bundle; copies."""
        return tuple(replace(held) for held in self._suppressed.values())

    def saved(self) -> SavedCooldowns:
        """Return what has to survive a restart; a copy."""
        cooldowns = {key: replace(cooldown) for key, cooldown in self._cooldowns.items()}
        return SavedCooldowns(cooldowns, tuple(self._opened_ns), self.held_back)

    def restore(self, saved: SavedCooldowns, now_ns: int) -> None:
        """Take over what an earlier service knew, times in this one's clock.

        No cooldown has more left than its whole length, and no bundle was opened later than
        now, whatever the clocks of then were.
        """
        self._cooldowns = {
            key: replace(each, until_ns=min(each.until_ns, now_ns + each.length_ns))
            for key, each in saved.cooldowns.items()
        }
        self._opened_ns = [min(opened_ns, now_ns) for opened_ns in saved.opened_ns]
        self._suppressed = {held.name: replace(held) for held in saved.suppressed}

    def change_limits(self, max_cooldown_ns: int, max_per_hour: int) -> None:
        """Hold to other limits from now on; what runs goes on."""
        self.max_cooldown_ns, self.max_per_hour = max_cooldown_ns, max_per_hour

    def take_suppressed(self) -> list[Suppressed]:
        """Return what was held back since the last call."""
        taken = list(self._suppressed.values())
        self._suppressed.clear()
        return taken

    def give_back(self, suppressed: Iterable[Suppressed], anomalies: Iterable[Anomaly]) -> None:
        """Count what was taken, or admitted, for a bundle that came to nothing.

        Its place among those of the hour is free again.
        """
        self._opened_ns = self._opened_ns[:-1]
        since, self._suppressed = self._suppressed, {held.name: held for held in suppressed}
        for anomaly in anomalies:
            self._count(anomaly)
        for held in since.values():
            self._add(held)

    def _objection(self, anomaly: Anomaly, now_ns: int) -> str | None:
        if anomaly.anomaly is AnomalyType.MANUAL:
            return None
        cooldown = self._cooldowns.get(anomaly.key)
        if cooldown and now_ns < cooldown.until_ns:
            cooldown.repeated = True
            return f"in its cooldown for {(cooldown.until_ns - now_ns) / 1e9:.0f} s more"
        self._opened_ns = [opened for opened in self._opened_ns if now_ns - opened < HOUR_NS]
        urgent = anomaly.emergency or words_of(anomaly.anomaly).is_urgent
        reserved = 0 if urgent else min(RESERVED, self.max_per_hour - 1)
        if len(self._opened_ns) >= self.max_per_hour - reserved:
            return f"{len(self._opened_ns)} bundles were opened within the hour"
        return None

    def _count(self, anomaly: Anomaly) -> None:
        worst = anomaly.worst
        latency_ns = int(worst["latency_ns"]) if worst is not None else 0
        stamp = anomaly.timestamp
        self._add(Suppressed(anomaly.key, anomaly.count, stamp, stamp, latency_ns))

    def _add(self, later: Suppressed) -> None:
        known = self._suppressed.get(later.name)
        if known is None:
            self._suppressed[later.name] = later
            return
        known.count += later.count
        known.last_ns = later.last_ns
        known.worst_latency_ns = max(known.worst_latency_ns, later.worst_latency_ns)
