"""What is collected when an anomaly is raised: one file and one line of this table per action."""

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from aod.errors import ConfigError

if TYPE_CHECKING:
    from aod.actions.action import Action

ACTIONS = {
    "debugdata": "aod.actions.debugdata:DebugData",
    "stats": "aod.actions.stats:Stats",
    "open_files": "aod.actions.open_files:OpenFiles",
    "mounts": "aod.actions.mounts:Mounts",
    "tcpdump": "aod.actions.tcpdump:Tcpdump",
    "dmesg": "aod.actions.dmesg:Dmesg",
    "journalctl": "aod.actions.journalctl:Journalctl",
    "syslogs": "aod.actions.syslogs:Syslogs",
    "smbinfo": "aod.actions.smbinfo:Smbinfo",
}
"""Name in the config -> module:class, in the order in which they start.

What vanishes first comes first; smbinfo comes last because it alone touches the share.
"""

NAMES: tuple[str, ...] = tuple(ACTIONS)
"""The actions that come with aod, in the order in which they start."""

ENTRY_POINT_GROUP = "aod.actions"
"""Where an installed package announces an action of its own: NAME = "module:class"."""


@cache  # 5 ms: not paid again by every name of a config
def known_names() -> tuple[str, ...]:
    """Return NAMES followed by the names of installed third-party actions.

    What is installed later is seen after `known_names.cache_clear()`.
    """
    from importlib.metadata import entry_points  # 20 ms: not paid by every command

    added = {point.name for point in entry_points(group=ENTRY_POINT_GROUP)}
    return NAMES + tuple(sorted(added - ACTIONS.keys()))


def create(name: str) -> "Action":
    """Return a new action; its module is imported only now.

    A name of the table is never replaced by an entry point. Raises ConfigError for a name that
    nobody offers.
    """
    if target := ACTIONS.get(name):
        module, _, attribute = target.partition(":")
        built_in: Action = getattr(import_module(module), attribute)()
        return built_in
    from importlib.metadata import entry_points

    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        third_party: Action = point.load()()
        return third_party
    raise ConfigError([f"unknown action {name!r}: allowed are {', '.join(known_names())}"])
