"""What is done before the loop has anything to do, so that nothing blocks it later."""

import logging

from aod import actions, smb
from aod.config import Config
from aod.detectors.anomaly import AnomalyType
from aod.detectors.words import words_of
from aod.errors import ConfigError
from aod.events import Kind
from aod.host.directories import state_directory
from aod.incidents.state import StateDirectory
from aod.processes import programs
from aod.smb.filter import Filter, union

log = logging.getLogger(__name__)

RENAMING = Filter(kinds=frozenset({Kind.TREE_CONNECT, Kind.RECONNECT}))
"""What changes names, and is sent whatever the detectors want."""


def warm_up(config: Config) -> None:
    """Read and import what would block the loop at the first event or anomaly.

    Raises ConfigError for an action that cannot be loaded.
    """
    smb.statuses()
    for kind in AnomalyType:
        words_of(kind)
    for name in config.watcher.actions:
        try:
            action = actions.create(name)
        except Exception as error:  # a third party's code: whatever it raises
            raise ConfigError([f"watcher.actions: cannot load {name}: {error!r}"]) from error
        programs.find_early(getattr(action, "program", None))


def open_state() -> StateDirectory | None:
    """Open the state directory; without one nothing but the memory of a restart is missing."""
    path = state_directory()
    try:
        return StateDirectory(path)
    except OSError as error:
        log.warning("no state is kept over a restart: cannot open %s: %s", path, error)
        return None


def needed(by_detectors: Filter) -> Filter:
    """Return what the kernel has to send: what the detectors want, and what changes names."""
    return union([RENAMING, by_detectors])
