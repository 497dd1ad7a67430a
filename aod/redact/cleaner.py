"""What a bundle's files go through before they are packed: without secrets, or without names too.

All of it is blocking: a coroutine calls it through asyncio.to_thread.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from aod.actions.action import Action, keeps_packets
from aod.events import Events
from aod.host import files
from aod.host.directories import state_directory
from aod.redact import known
from aod.redact.manifest import DAMAGED, Manifest, damaged
from aod.redact.namemap import NameMap
from aod.redact.naming import Naming
from aod.redact.secrets import Secrets, scrub, scrub_arguments
from aod.redact.texts import Text
from aod.redact.vocabulary import Vocabulary

log = logging.getLogger(__name__)

BLOCK_BYTES = 64 << 10
LONGEST_LINE_BYTES = 1 << 20
NO_PACKETS = "redact keeps no packets"
NO_TEXT = "redact keeps text only"
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b"))


class Cleaner(Protocol):
    """Keeps out of a bundle what shall not leave the machine."""

    def refuses(self, action: Action) -> str:
        """Return why an action may not run, "" when it may."""

    def manifest(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Return a clean manifest; one that is clean is returned as it is. Raises OSError."""

    def bundle(self, manifest: Mapping[str, Any], raw_fd: int, clean_fd: int) -> dict[str, Any]:
        """Move every file from one directory to another, clean.

        It may be done again after it was cut off: what is still in the first was not moved.
        Returns the clean manifest, with a reason for each file that was left out.
        """

    def events(self, events: Events) -> Events:
        """Return clean events."""


def make(*, redact: bool) -> Cleaner:
    """Return what the config asks for."""
    return Redactor(state_directory()) if redact else Scrubber()


def for_leftover(manifest: Mapping[str, Any], *, redact: bool) -> Cleaner:
    """Return the cleaner of a bundle that was cut off: the one it began with, or a stricter one."""
    config = manifest.get("config")
    wanted = bool(isinstance(config, dict) and config.get("redact"))
    return make(redact=redact or wanted or bool(manifest.get("redacted")))


class Scrubber:
    """Takes secrets out of text; a file without any is not touched."""

    def refuses(self, action: Action) -> str:
        """Return nothing: every action may run."""
        return ""

    def manifest(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Return the manifest without secrets in what programs or people wrote."""
        said = {key: manifest[key] for key in ("actions", "config") if key in manifest}
        anomalies = manifest.get("anomalies")
        if isinstance(anomalies, list):
            said["anomalies"] = [_scrubbed_reason(each) for each in anomalies]
        try:
            return {**manifest, **{key: _scrubbed(value) for key, value in said.items()}}
        except RecursionError:
            log.warning("manifest is damaged, most of it left out")
            return damaged(manifest)

    def bundle(self, manifest: Mapping[str, Any], raw_fd: int, clean_fd: int) -> dict[str, Any]:
        """Move the files; one with a secret in it is written anew."""
        clean = self.manifest(manifest)
        for name in _raw_files(raw_fd):
            with _opened(name, raw_fd) as file:
                has_secret = _is_text(file) and _differs(file, Secrets().scrub)
                if has_secret:
                    _note_size(clean, name, _rewrite(name, file, clean_fd, Secrets().scrub))
            if has_secret:
                os.unlink(name, dir_fd=raw_fd)
            else:
                os.rename(name, name, src_dir_fd=raw_fd, dst_dir_fd=clean_fd)
        return clean

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

    def manifest(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Return the manifest without names; the map is on the disk before it is."""
        if manifest.get("redacted"):
            return dict(manifest)
        with NameMap.open(self._state) as names:
            clean = self._learned(names).manifest(manifest)
            names.save()
        return clean

    def bundle(self, manifest: Mapping[str, Any], raw_fd: int, clean_fd: int) -> dict[str, Any]:
        """Learn from all files and the manifest, then write each anew."""
        with NameMap.open(self._state) as names:
            work = self._learned(names)
            for name in _raw_files(raw_fd):
                with _opened(name, raw_fd) as file:
                    if _is_text(file):
                        work.learn(file)
            clean = dict(manifest) if manifest.get("redacted") else work.manifest(manifest)
            for name in _raw_files(raw_fd):
                with _opened(name, raw_fd) as file:
                    if _is_text(file):
                        redact = work.text().redact
                        _note_size(clean, name, _rewrite(name, file, clean_fd, redact, names.save))
                    else:
                        _note_left_out(clean, name)
                os.unlink(name, dir_fd=raw_fd)
            names.save()
        return clean

    def events(self, events: Events) -> Events:
        """Return a copy with other names of processes and other users."""
        clean = events.copy()
        with NameMap.open(self._state) as names:
            naming = Naming(names, known.read_users(self._root))
            for index, event in enumerate(events):
                comm = naming.process(event["comm"].decode(errors="replace"))
                clean["comm"][index] = comm.encode()
                clean["uid"][index] = naming.uid(int(event["uid"]))
            names.save()
        return clean

    def _learned(self, names: NameMap) -> "_Work":
        work = _Work(names, known.read_users(self._root))
        known.learn(self._root, work.naming, work.text(), work.users)
        return work


class _Work:
    """One pass over a bundle: its map, and the names that are looked for."""

    def __init__(self, names: NameMap, users: dict[int, str]) -> None:
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

    def manifest(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Return the manifest without names."""
        self._catch_up()
        redactor = Manifest(self.naming, self._free)
        try:
            for anomaly in manifest.get("anomalies", ()):
                for event in anomaly.get("events", ()):
                    redactor.event(event)
            self._catch_up()
            return redactor.redact(manifest)
        except DAMAGED as error:
            log.warning("manifest is damaged, most of it left out: %r", error)
            return damaged(manifest)

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


def _rewrite(
    name: str,
    file: BinaryIO,
    target_fd: int,
    change: Callable[[str], str],
    before: Callable[[], None] = lambda: None,
) -> int:
    """Write the changed text whole or not at all, and return its size.

    `before` is called before the file has its name.
    """
    with files.written_atomic(name, target_fd, before) as target:
        for block in _blocks(file):
            target.write(change(block).encode(errors="surrogateescape"))
        return target.tell()


def _note_size(manifest: dict[str, Any], name: str, size: int) -> None:
    for result in _results(manifest, name):
        result["bytes"] = size


def _note_left_out(manifest: dict[str, Any], name: str) -> None:
    log.info("file left out, it is no text file=%s", name)
    for result in _results(manifest, name):
        result |= {"state": "skipped", "reason": NO_TEXT, "file": None, "bytes": 0}


def _results(manifest: dict[str, Any], file: str) -> list[dict[str, Any]]:
    """Return the results of actions whose file it is: at most one, unless it is damaged."""
    results = manifest.get("actions")
    found = results.values() if isinstance(results, dict) else ()
    return [each for each in found if isinstance(each, dict) and each.get("file") == file]


def _scrubbed_reason(anomaly: Any) -> Any:
    if not isinstance(anomaly, Mapping) or not isinstance(anomaly.get("reason"), str):
        return anomaly
    return {**anomaly, "reason": scrub(anomaly["reason"])}


def _scrubbed(value: Any) -> Any:
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {key: _scrubbed(each) for key, each in value.items()}
    if isinstance(value, list):
        if value and all(isinstance(each, str) for each in value):
            return scrub_arguments(value)
        return [_scrubbed(each) for each in value]
    return value
