"""Replaces the names in a bundle by pseudonyms, and takes secrets out.

The whole of a bundle is read for names before any of it is written: a name with a blank in it is
known by a table such as DebugData, and has to be known where it stands in a path.
"""

import logging
import os
from pathlib import Path

from aod.actions.action import Action, keeps_packets
from aod.bundle.manifest import Manifest
from aod.events import Events
from aod.host import files
from aod.redact import known, textfiles
from aod.redact.manifest import ManifestRedactor, with_sizes
from aod.redact.naming import Naming
from aod.redact.pseudonyms import Pseudonyms
from aod.redact.texts import Text
from aod.redact.vocabulary import Vocabulary

log = logging.getLogger(__name__)

NO_PACKETS = "redact keeps no packets"


class Redactor:
    """Replaces names by pseudonyms, takes secrets out, keeps nothing that is no text.

    The pseudonyms are held while it works; another process waits for them.
    """

    def __init__(self, state: Path, root: Path = Path("/")) -> None:
        self._state = state
        self._root = root

    def refuses(self, action: Action) -> str:
        """Return the reason why an action that keeps packets may not run."""
        return NO_PACKETS if keeps_packets(action) else ""

    def manifest(self, manifest: Manifest) -> Manifest:
        """Return the manifest without names; its pseudonyms are on the disk before it is."""
        if manifest.redacted:
            return manifest
        with Pseudonyms.open(self._state) as pseudonyms:
            redacted = self._learned(pseudonyms).manifest(manifest)
            pseudonyms.save()
        return redacted

    def bundle(self, manifest: Manifest, raw_fd: int, target_fd: int) -> Manifest:
        """Learn from all files and the manifest, then write each anew."""
        with Pseudonyms.open(self._state) as pseudonyms:
            work = self._learned(pseudonyms)
            is_text = {name: work.learn(name, raw_fd) for name in files.regular_files(raw_fd)}
            redacted = manifest if manifest.redacted else work.manifest(manifest)
            sizes: dict[str, int | None] = {}
            for name in is_text:
                sizes[name] = work.write(name, raw_fd, target_fd) if is_text[name] else None
                if sizes[name] is None:
                    log.info("file left out, it is no text file=%s", name)
                os.unlink(name, dir_fd=raw_fd)
            pseudonyms.save()
        return with_sizes(redacted, sizes)

    def events(self, events: Events) -> Events:
        """Return a copy with other names of processes and other users."""
        redacted = events.copy()
        with Pseudonyms.open(self._state) as pseudonyms:
            naming = Naming(pseudonyms, known.read_users(self._root))
            for index, event in enumerate(events):
                comm = naming.process(event["comm"].decode(errors="replace"))
                redacted["comm"][index] = comm.encode()
                redacted["uid"][index] = naming.uid(int(event["uid"]))
            pseudonyms.save()
        return redacted

    def _learned(self, pseudonyms: Pseudonyms) -> "_Work":
        work = _Work(pseudonyms, known.read_users(self._root))
        known.learn(self._root, work.naming, work.text(), work.users)
        return work


class _Work:
    """What is done to one bundle: its pseudonyms, and the names that are looked for."""

    def __init__(self, pseudonyms: Pseudonyms, users: dict[int, str]) -> None:
        self.users = users
        self.naming = Naming(pseudonyms, users)
        self._pseudonyms = pseudonyms
        self._vocabulary = Vocabulary()
        self._vocabulary.add(pseudonyms.sure_names())
        pseudonyms.fresh.clear()

    def text(self) -> Text:
        """Return what redacts one file, or one text that is whole in itself."""
        return Text(self.naming, self._vocabulary)

    def learn(self, name: str, raw_fd: int) -> bool:
        """Give pseudonyms to the names that a file shows by where they stand, if it is text."""
        with textfiles.opened(name, raw_fd) as file:
            if not textfiles.is_text(file):
                return False
            text = Text(self.naming, Vocabulary())
            for block in textfiles.blocks(file):
                text.redact(block)
        self._catch_up()
        return True

    def write(self, name: str, raw_fd: int, target_fd: int) -> int:
        """Write a file without names; its pseudonyms are on the disk before it has its name."""
        with (
            textfiles.opened(name, raw_fd) as file,
            files.written_atomic(name, target_fd) as target,
        ):
            size = textfiles.rewrite(file, target, self.text().redact)
            self._pseudonyms.save()
            return size

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
        names = self._pseudonyms
        self._vocabulary.add((each, names.name(each) or "") for each in names.fresh)
        names.fresh.clear()
