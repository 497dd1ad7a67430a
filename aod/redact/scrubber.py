"""Takes secrets out of a bundle; names stay."""

import os

from aod.actions.action import Action
from aod.bundle.manifest import Manifest
from aod.events import Events
from aod.host import files
from aod.redact import textfiles
from aod.redact.manifest import scrubbed, with_sizes
from aod.redact.secrets import Secrets


class Scrubber:
    """Takes secrets out of text; a file without any is not touched."""

    def refuses(self, action: Action) -> str:
        """Return nothing: every action may run."""
        return ""

    def manifest(self, manifest: Manifest) -> Manifest:
        """Return the manifest without secrets in what programs or people wrote."""
        return scrubbed(manifest)

    def bundle(self, manifest: Manifest, raw_fd: int, target_fd: int) -> Manifest:
        """Move the files; one with a secret in it is written anew."""
        sizes: dict[str, int | None] = {}
        for name in list(files.regular_files(raw_fd)):
            with textfiles.opened(name, raw_fd) as file:
                has_secret = textfiles.is_text(file) and textfiles.differs(file, Secrets().scrub)
                if has_secret:
                    with files.written_atomic(name, target_fd) as target:
                        sizes[name] = textfiles.rewrite(file, target, Secrets().scrub)
            if has_secret:
                os.unlink(name, dir_fd=raw_fd)
            else:
                os.rename(name, name, src_dir_fd=raw_fd, dst_dir_fd=target_fd)
        return with_sizes(scrubbed(manifest), sizes)

    def events(self, events: Events) -> Events:
        """Return them as they are."""
        return events
