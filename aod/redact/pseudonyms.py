"""The names that were replaced, and by what: kept in the state directory, in no bundle."""

import fcntl
import json
import logging
import os
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from aod.host import directories, files

log = logging.getLogger(__name__)

FILE = "redaction.json"
LOCK = "redaction.lock"
NAMES = 20_000
"""Names that are remembered, 1 MB; beyond, those that were not used for longest are forgotten."""
COMM_BYTES = 15
"""The kernel keeps so many bytes of a process's name."""


class Pseudonyms:
    """Gives each name one pseudonym, whatever it names: `server1`, `user3`.

    Case does not matter. A number is never given twice, so that a forgotten name's pseudonym
    stands for nothing else.
    """

    def __init__(self, directory: int = -1) -> None:
        self._directory = directory
        self._names: dict[str, str] = {}
        self._pseudonyms: dict[str, str] = {}
        self._next: dict[str, int] = {}
        self._doubtful: set[str] = set()
        self._dirty = False
        self.fresh: list[str] = []
        """Pseudonyms of which nobody was sure before; who looks for them empties the list."""

    @classmethod
    @contextmanager
    def open(cls, directory: Path) -> Iterator[Self]:
        """Hold the map of a state directory, which is made when missing (0700).

        Another process waits. What is not saved is lost. Raises OSError.
        """
        fd = directories.open_directory(directory, tighten=True)
        lock = -1
        try:
            lock = os.open(
                LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=fd
            )
            fcntl.flock(lock, fcntl.LOCK_EX)
            names = cls(fd)
            names._load()
            yield names
        finally:
            if lock >= 0:
                os.close(lock)
            os.close(fd)

    def pseudonym(self, kind: str, name: str, *, doubtful: bool = False) -> str:
        """Return what stands for a name; a new one is of the `kind`.

        One that is `doubtful` until somebody is sure of it is not among `sure_names`.
        """
        key = _key(kind, name)
        known = self._pseudonyms.get(key)
        if known:
            if known in self._doubtful and not doubtful:
                self._doubtful.discard(known)
                self.fresh.append(known)
                self._dirty = True
            self._names[known] = self._names.pop(known)  # used last
            return known
        number = self._next.get(kind, 1)
        made = f"{kind}{number}"
        self._next[kind] = number + 1
        self._pseudonyms[key] = made
        self._names[made] = _cut(name) if kind == "process" else name
        self._dirty = True
        if doubtful:
            self._doubtful.add(made)
        else:
            self.fresh.append(made)
        return made

    def name(self, pseudonym: str) -> str | None:
        """Return what a pseudonym stands for, None when that is not (or no more) known."""
        return self._names.get(pseudonym)

    def items(self) -> list[tuple[str, str]]:
        """Return (pseudonym, name) of all, the last used last."""
        return list(self._names.items())

    def sure_names(self) -> list[tuple[str, str]]:
        """Return (pseudonym, name) of those that are surely names."""
        return [item for item in self._names.items() if item[0] not in self._doubtful]

    def save(self) -> None:
        """Write the map through to the disk, if it has changed. Raises OSError."""
        if not self._dirty:
            return
        kept = dict(self.items()[-NAMES:])
        doubtful = [pseudonym for pseudonym in kept if pseudonym in self._doubtful]
        plain = {"format": 1, "next": self._next, "names": kept, "doubtful": doubtful}
        files.write_atomic(FILE, json.dumps(plain, indent=0).encode(), self._directory)
        self._dirty = False

    def _load(self) -> None:
        try:
            with os.fdopen(files.open_regular(FILE, self._directory), "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return
        try:
            self._take(json.loads(data))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            aside = f"{FILE}.damaged-{time.time_ns()}"
            os.rename(FILE, aside, src_dir_fd=self._directory, dst_dir_fd=self._directory)
            log.warning("map of names is damaged, set aside file=%s: %s", aside, error)

    def _take(self, plain: Any) -> None:
        """Take in what a file holds, whole; when it is damaged, nothing of it."""
        if plain["format"] != 1:
            raise ValueError("unknown format")
        numbers = {str(kind): int(number) for kind, number in plain["next"].items()}
        names = dict(plain["names"].items())
        if not all(isinstance(name, str) for name in names.values()):
            raise TypeError("a name is no text")
        pseudonyms = {_key(kind_of(each), name): each for each, name in names.items()}
        self._doubtful = set(plain["doubtful"])
        self._next, self._names, self._pseudonyms = numbers, names, pseudonyms


def kind_of(pseudonym: str) -> str:
    """Return the kind in a pseudonym: `server` of `server12`."""
    return pseudonym.rstrip("0123456789")


def read(directory: Path) -> dict[str, str]:
    """Return {pseudonym: name} of a state directory's map, to look names up. Raises OSError."""
    fd = files.open_directory(directory)
    try:
        names = Pseudonyms(fd)
        with os.fdopen(files.open_regular(FILE, fd), "rb") as file:
            names._take(json.loads(file.read()))
    finally:
        os.close(fd)
    return dict(names.items())


def _key(kind: str, name: str) -> str:
    same = unicodedata.normalize("NFC", _cut(name) if kind == "process" else name)
    return same.casefold()


def _cut(name: str) -> str:
    return name.encode(errors="surrogateescape")[:COMM_BYTES].decode(errors="ignore")
