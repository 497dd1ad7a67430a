"""What is done to a bundle before it is packed: secrets are taken out, or names replaced as well.

All of it is blocking: a coroutine calls it through asyncio.to_thread.
"""

from typing import Protocol

from aod.actions.action import Action
from aod.bundle.manifest import Manifest
from aod.events import Events
from aod.host.directories import state_directory
from aod.redact.redactor import Redactor
from aod.redact.scrubber import Scrubber


class Redaction(Protocol):
    """Keeps out of a bundle what shall not leave the machine."""

    def refuses(self, action: Action) -> str:
        """Return why an action may not run, "" when it may."""

    def manifest(self, manifest: Manifest) -> Manifest:
        """Return a manifest that may leave; one that may is returned as it is. Raises OSError."""

    def bundle(self, manifest: Manifest, raw_fd: int, target_fd: int) -> Manifest:
        """Bring every file from one directory to another, so that it may leave.

        It may be done again after it was cut off: what is still in the first was not moved.
        Returns such a manifest, with a reason for each file that was left out.
        """

    def events(self, events: Events) -> Events:
        """Return events that may leave."""


def make(*, redact: bool) -> Redaction:
    """Return what the config asks for."""
    return Redactor(state_directory()) if redact else Scrubber()


def for_leftover(manifest: Manifest, *, redact: bool) -> Redaction:
    """Return what is done to a bundle that was cut off: as it began, or more."""
    config = manifest.config
    wanted = isinstance(config, dict) and bool(config.get("redact"))
    return make(redact=redact or wanted or manifest.redacted)
