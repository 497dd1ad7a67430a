"""What survives a restart: cooldowns, bundles of the last hour, what was held back, counts.

One JSON file in the state directory, written whole or not at all. Times of the file are those
of one boot: another one starts without cooldowns, as its clocks say nothing of the last.
"""

import asyncio
import contextlib
import logging
import os
import time
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from aod.host import directories, files
from aod.incidents.cooldown import Cooldown, Cooldowns, SavedCooldowns
from aod.runtime.counts import ServiceCounts
from aod.runtime.interval import Interval
from aod.runtime.supervisor import Progress

log = logging.getLogger(__name__)

FILE = "state.json"
DAMAGED = "state.json.damaged"
MAX_BYTES = 1 << 20
FORMAT = 1
LATEST_NS = 1 << 63
"""No wall time of a Linux machine is later (the year 2262)."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Moment:
    """When the state was saved: the boot, and what its clocks showed."""

    boot_id: str
    boottime_ns: int
    monotonic_ns: int

    @classmethod
    def now(cls, boot_id: Path = BOOT_ID) -> "Moment":
        """Read the clocks; blocks to read procfs."""
        boottime_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return cls(boot_id.read_text().strip(), boottime_ns, time.monotonic_ns())

    def later_ns(self, now: "Moment") -> int | None:
        """Return what brings a monotonic time of this moment to the clock of `now`.

        Time in which the machine slept has passed as well, though CLOCK_MONOTONIC stood still.
        None when the machine was started anew in between.
        """
        if now.boot_id != self.boot_id:
            return None
        passed_ns = now.boottime_ns - self.boottime_ns
        return now.monotonic_ns - self.monotonic_ns - passed_ns


@dataclass(frozen=True, slots=True)
class State:
    """What the service knows of its own past."""

    moment: Moment
    cooldowns: SavedCooldowns = field(default_factory=SavedCooldowns)
    tally: ServiceCounts = field(default_factory=ServiceCounts)
    """Named so in the files of 0.1.0."""
    format: int = FORMAT

    def at(self, now: Moment) -> "State":
        """Return the same at another moment, with times in the clocks of `now`."""
        later_ns = self.moment.later_ns(now)
        if later_ns is None:
            kept = SavedCooldowns(suppressed=self.cooldowns.suppressed)
        else:
            kept = _moved(self.cooldowns, later_ns)
        return replace(self, moment=now, cooldowns=kept)


_ADAPTER = TypeAdapter(State)


def read(path: Path) -> State:
    """Return what a service has left in its directory, as it was; changes nothing.

    Raises OSError, and ValueError when that is no state.
    """
    fd = files.open_directory(path)
    try:
        return parse(_read(fd))
    finally:
        os.close(fd)


class StateDirectory:
    """The directory of the state file, held by its descriptor; a context manager. All blocks."""

    def __init__(self, path: Path) -> None:
        """Open the directory, and make it (0700) when missing; raises OSError."""
        self.path = path
        self.fd = directories.open_directory(path, tighten=True)

    def __enter__(self) -> "StateDirectory":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def load(self) -> State:
        """Return what was kept, in today's clocks; a damaged file is set aside."""
        now = Moment.now()
        try:
            return parse(_read(self.fd)).at(now)
        except FileNotFoundError:
            return State(now)
        except (OSError, ValueError) as error:
            log.error("state not readable, set aside as %s: %s", self.path / DAMAGED, error)
        with contextlib.suppress(OSError):
            os.replace(FILE, DAMAGED, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        return State(now)

    def save(self, cooldowns: SavedCooldowns, service_counts: ServiceCounts) -> None:
        """Keep it; raises OSError, and what was kept before stays."""
        state = State(Moment.now(), cooldowns, service_counts)
        files.write_atomic(FILE, _ADAPTER.dump_json(state, indent=1), self.fd)


def _read(dir_fd: int) -> bytes:
    with os.fdopen(files.open_regular(FILE, dir_fd), "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES} bytes")
    return data


def parse(data: bytes) -> State:
    """Return the state that a file holds; raises ValueError in one line for what is none."""
    try:
        state = _ADAPTER.validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place or 'the file'}: {first['msg']}") from error
    if state.format != FORMAT:
        raise ValueError(f"format {state.format}, known is {FORMAT}")
    for held in state.cooldowns.suppressed:
        if not all(0 <= stamp_ns < LATEST_NS for stamp_ns in (held.first_ns, held.last_ns)):
            raise ValueError(f"{held.name} was held back at a time that is none")
    return state


def _moved(saved: SavedCooldowns, later_ns: int) -> SavedCooldowns:
    cooldowns = {
        key: Cooldown(each.until_ns + later_ns, each.length_ns, each.repeated)
        for key, each in saved.cooldowns.items()
    }
    opened_ns = tuple(opened_ns + later_ns for opened_ns in saved.opened_ns)
    return replace(saved, cooldowns=cooldowns, opened_ns=opened_ns)


class StateFile:
    """Keeps cooldowns and counts in the state file; without a directory it does nothing."""

    def __init__(
        self, directory: StateDirectory | None, cooldowns: Cooldowns, service_counts: ServiceCounts
    ) -> None:
        self._directory = directory
        self._cooldowns = cooldowns
        self._service_counts = service_counts
        self._kept: tuple[SavedCooldowns, ServiceCounts] | None = None
        self._is_refused = False

    async def recall(self) -> None:
        """Take over what an earlier run has left."""
        if self._directory:
            state = await asyncio.to_thread(self._directory.load)
            self._cooldowns.restore(state.cooldowns, state.moment.monotonic_ns)
            self._service_counts.add(state.tally)

    async def run(self, interval: Interval, progress: Progress) -> None:
        """Keep it each interval, until cancelled."""
        while True:
            await interval.rest()
            with progress.busy():
                await self.keep()

    async def keep(self) -> None:
        """Write the file when something has changed. A refusal is logged once."""
        # Copied here and not in the thread: what is copied belongs to the loop.
        present = (self._cooldowns.saved(), deepcopy(self._service_counts))
        if not self._directory or present == self._kept:
            return
        try:
            await asyncio.to_thread(self._directory.save, *present)
        except OSError as error:
            if not self._is_refused:
                log.error("state not kept, tried again each interval: %s", error)
            self._is_refused = True
            return
        self._kept, self._is_refused = present, False
