"""Keep what is slow to build in one folder outside git.

An entry is a directory `<kind>/<key>`. It is built under a temporary name and renamed when it is
whole, so an interrupted build leaves nothing that looks finished.
"""

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.vm.lab.errors import LabError

log = logging.getLogger(__name__)

_CHECKOUT = Path(__file__).resolve().parents[3]
_LOCK_TIMEOUT_S = 1800.0
_UNFINISHED = ".tmp"


def default_root() -> Path:
    """Return the cache's folder: LAB_CACHE, else .cache/lab in the checkout."""
    return Path(os.environ.get("LAB_CACHE") or _CHECKOUT / ".cache" / "lab")


def digest(*parts: str | bytes) -> str:
    """Hash the parts of a recipe into a key of 16 hexadecimal digits."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "little") + data)
    return whole.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Cache:
    """Hold entries by kind and key; only the newest `keep` of a kind stay."""

    root: Path

    def entry(self, kind: str, key: str, build: Callable[[Path], None], *, keep: int = 1) -> Path:
        """Return the directory of an entry, built by `build(directory)` when it is not there."""
        place = self.root / kind / key
        with self.lock(f"build-{kind}"):
            if not place.is_dir():
                self._build(place, build)
            os.utime(place)
            self._prune(kind, keep)
        return place

    def newest(self, kind: str) -> Path | None:
        """Return the entry of a kind that was used last."""
        return next(iter(self._entries(kind)), None)

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold a lock that other processes on this machine respect.

        Raises LabError when another process keeps it for half an hour.
        """
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(self.root / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _flock(fd, name)
            yield
        finally:
            os.close(fd)

    def clean(self) -> None:
        """Remove the whole cache."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _build(self, place: Path, build: Callable[[Path], None]) -> None:
        unfinished = place.with_name(place.name + _UNFINISHED)
        for stale in place.parent.glob(f"*{_UNFINISHED}"):
            shutil.rmtree(stale)
        unfinished.mkdir(parents=True, mode=0o700)
        started_s = time.monotonic()
        log.info("building entry=%s/%s", place.parent.name, place.name)
        try:
            build(unfinished)
            unfinished.rename(place)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        seconds = time.monotonic() - started_s
        log.info("built entry=%s/%s seconds=%.1f", place.parent.name, place.name, seconds)

    def _prune(self, kind: str, keep: int) -> None:
        for old in self._entries(kind)[keep:]:
            log.info("removing entry=%s/%s", kind, old.name)
            shutil.rmtree(old, ignore_errors=True)

    def _entries(self, kind: str) -> list[Path]:
        found = [p for p in (self.root / kind).glob("*") if not p.name.endswith(_UNFINISHED)]
        return sorted(found, key=lambda place: place.stat().st_mtime, reverse=True)


def _flock(fd: int, name: str) -> None:
    # flock() has no deadline of its own, so it is tried again and again.
    deadline_s = time.monotonic() + _LOCK_TIMEOUT_S
    while True:
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline_s:
                raise LabError(f"another process holds the lab's {name}.lock") from None
            time.sleep(0.1)
