"""What a bundle's files go through before they are packed: without secrets, or without names too.

All of it is blocking: a coroutine calls it through asyncio.to_thread.
"""

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from aod.actions.action import Action, keeps_packets
from aod.bundle.manifest import Manifest
from aod.events import Events
from aod.host import files
from aod.host.directories import state_directory
from aod.redact import known
from aod.redact.manifest import ManifestRedactor, scrubbed, with_sizes
from aod.redact.naming import Naming
from aod.redact.pseudonyms import Pseudonyms
from aod.redact.secrets import Secrets
from aod.redact.texts import Text
from aod.redact.vocabulary import Vocabulary

log = logging.getLogger(__name__)

BLOCK_BYTES = 64 << 10
LONGEST_LINE_BYTES = 1 << 20
NO_PACKETS = "redact keeps no packets"
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b"))


class Cleaner(Protocol):
    """Keeps out of a bundle what shall not leave the machine."""

    def refuses(self, action: Action) -> str:
        """Return why an action may not run, "" when it may."""

    def manifest(self, manifest: Manifest) -> Manifest:
        """Return a clean manifest; one that is clean is returned as it is. Raises OSError."""

    def bundle(self, manifest: Manifest, raw_fd: int, clean_fd: int) -> Manifest:
        """Move every file from one directory to another, clean.

        It may be done again after it was cut off: what is still in the first was not moved.
        Returns the clean manifest, with a reason for each file that was left out.
        """

    def events(self, events: Events) -> Events:
        """Return clean events."""


def make(*, redact: bool) -> Cleaner:
    """Return what the config asks for."""
    return Redactor(state_directory()) if redact else Scrubber()


def for_leftover(manifest: Manifest, *, redact: bool) -> Cleaner:
    """Return the cleaner of a bundle that was cut off: the one it began with, or a stricter one."""
    config = manifest.config
    wanted = isinstance(config, dict) and bool(config.get("redact"))
    return make(redact=redact or wanted or manifest.redacted)


class Scrubber:
    """Takes secrets out of text; a file without any is not touched."""

    def refuses(self, action: Action) -> str:
        """Return nothing: every action may run."""
        return ""

    def manifest(self, manifest: Manifest) -> Manifest:
        """Return the manifest without secrets in what programs or people wrote."""
        return scrubbed(manifest)

    def bundle(self, manifest: Manifest, raw_fd: int, clean_fd: int) -> Manifest:
        """Move the files; one with a secret in it is written anew."""
        sizes: dict[str, int | None] = {}
        for name in _raw_files(raw_fd):
            with _opened(name, raw_fd) as file:
                has_secret = _is_text(file) and _differs(file, Secrets().scrub)
                if has_secret:
                    with files.written_atomic(name, clean_fd) as target:
                        sizes[name] = _rewrite(file, target, Secrets().scrub)
            if has_secret:
                os.unlink(name, dir_fd=raw_fd)
            else:
                os.rename(name, name, src_dir_fd=raw_fd, dst_dir_fd=clean_fd)
        return with_sizes(scrubbed(manifest), sizes)

    def events(self, events: Events) -> Events:
        """Return them as they are."""
        return events


class Redactor:
    """Replaces names by pseudonyms, takes secrets out, keeps nothing that is no text.

    The map of names is held while it works; another process waits for it.
    """

    def __init__(self, state: Path, root: Path = Path("/")) -> None:
        self._state = state
        self._root = root

    def refuses(self, action: Action) -> str:
        """Return the reason why an action that keeps packets may not run."""
        return NO_PACKETS if keeps_packets(action) else ""

    def manifest(self, manifest: Manifest) -> Manifest:
        """Return the manifest without names; the map is on the disk before it is."""
        if manifest.redacted:
            return manifest
        with Pseudonyms.open(self._state) as names:
            clean = self._learned(names).manifest(manifest)
            names.save()
        return clean

    def bundle(self, manifest: Manifest, raw_fd: int, clean_fd: int) -> Manifest:
        """Learn from all files and the manifest, then write each anew."""
        with Pseudonyms.open(self._state) as names:
            work = self._learned(names)
            for name in _raw_files(raw_fd):
                with _opened(name, raw_fd) as file:
                    if _is_text(file):
                        work.learn(file)
            clean = manifest if manifest.redacted else work.manifest(manifest)
            sizes: dict[str, int | None] = {}
            for name in _raw_files(raw_fd):
                with _opened(name, raw_fd) as file:
                    if _is_text(file):
                        with files.written_atomic(name, clean_fd, names.save) as target:
                            sizes[name] = _rewrite(file, target, work.text().redact)
                    else:
                        log.info("file left out, it is no text file=%s", name)
                        sizes[name] = None
                os.unlink(name, dir_fd=raw_fd)
            names.save()
        return with_sizes(clean, sizes)

    def events(self, events: Events) -> Events:
        """Return a copy with other names of processes and other users."""
        clean = events.copy()
        with Pseudonyms.open(self._state) as names:
            naming = Naming(names, known.read_users(self._root))
            for index, event in enumerate(events):
                comm = naming.process(event["comm"].decode(errors="replace"))
                clean["comm"][index] = comm.encode()
                clean["uid"][index] = naming.uid(int(event["uid"]))
            names.save()
        return clean

    def _learned(self, names: Pseudonyms) -> "_Work":
        work = _Work(names, known.read_users(self._root))
        known.learn(self._root, work.naming, work.text(), work.users)
        return work


class _Work:
    """One pass over a bundle: its map, and the names that are looked for."""

    def __init__(self, names: Pseudonyms, users: dict[int, str]) -> None:
        self.users = users
        self.naming = Naming(names, users)
        self._names = names
        self._vocabulary = Vocabulary()
        self._vocabulary.add(names.telling())
        names.fresh.clear()

    def text(self) -> Text:
        """Return what redacts one file, or one text that is whole in itself."""
        return Text(self.naming, self._vocabulary)

    def learn(self, file: BinaryIO) -> None:
        """Give pseudonyms to the names that a file shows by where they stand."""
        text = Text(self.naming, Vocabulary())
        for block in _blocks(file):
            text.redact(block)
        self._catch_up()

    def manifest(self, manifest: Manifest) -> Manifest:
        """Return the manifest without names."""
        self._catch_up()
        redactor = ManifestRedactor(self.naming, self._free)
        for anomaly in manifest.anomalies:
            for operation in anomaly.events:
                redactor.operation(operation)
        self._catch_up()
        return redactor.redact(manifest)

    def _free(self, text: str) -> str:
        return self.text().redact(text)

    def _catch_up(self) -> None:
        """Look for the names that are new as well."""
        fresh = ((each, self._names.name(each) or "") for each in self._names.fresh)
        self._vocabulary.add(fresh)
        self._names.fresh.clear()


def _raw_files(raw_fd: int) -> list[str]:
    return list(files.regular_files(raw_fd))


def _opened(name: str, dir_fd: int) -> BinaryIO:
    return os.fdopen(files.open_regular(name, dir_fd), "rb")


def _is_text(file: BinaryIO) -> bool:
    """Tell whether a file has no NUL and hardly a sign that no text has."""
    file.seek(0)
    size = controls = 0
    for block in iter(lambda: file.read(BLOCK_BYTES), b""):
        if b"\0" in block:
            return False
        size += len(block)
        controls += len(block) - len(block.translate(None, _CONTROLS))
    return controls <= 4 + size // 1000


def _blocks(file: BinaryIO) -> Iterator[str]:
    """Yield a file's text in blocks of whole lines, from its beginning.

    A line beyond LONGEST_LINE_BYTES is cut at a blank, if it has one.
    """
    file.seek(0)
    rest = b""
    while data := file.read(BLOCK_BYTES):
        rest += data
        end = rest.rfind(b"\n") + 1
        if not end and len(rest) > LONGEST_LINE_BYTES:
            end = rest.rfind(b" ") + 1 or len(rest)
        if end:
            yield rest[:end].decode(errors="surrogateescape")
            rest = rest[end:]
    if rest:
        yield rest.decode(errors="surrogateescape")


def _differs(file: BinaryIO, change: Callable[[str], str]) -> bool:
    return any(change(block) != block for block in _blocks(file))


def _rewrite(file: BinaryIO, target: BinaryIO, change: Callable[[str], str]) -> int:
    """Write the changed text and return its size."""
    for block in _blocks(file):
        target.write(change(block).encode(errors="surrogateescape"))
    return target.tell()
