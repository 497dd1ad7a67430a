"""The detectors, by the `type` that the config names them with."""

import importlib
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aod.detectors.detector import Configured

TABLE = {
    "Latency": "aod.detectors.latency",
    "Error": "aod.detectors.error",
    "Inflight": "aod.detectors.inflight",
    "Reconnect": "aod.detectors.reconnect",
    "Credits": "aod.detectors.credits",
}

ENTRY_POINT_GROUP = "aod.detectors"
"""Where an installed package announces a detector of its own: TYPE = "module:class"."""


def known_types() -> tuple[str, ...]:
    """Return the types of TABLE followed by those of installed third-party detectors."""
    from importlib.metadata import entry_points  # 20 ms: not paid by every command

    added = {point.name for point in entry_points(group=ENTRY_POINT_GROUP)}
    return tuple(TABLE) + tuple(sorted(added - TABLE.keys()))


@cache
def third_party(kind: str) -> "type[Configured] | None":
    """Return the detector class that an installed package offers for a `type`.

    A type of the table is never replaced. Raises whatever the package's import raises.
    """
    from importlib.metadata import entry_points

    if kind in TABLE:
        return None
    for point in entry_points(group=ENTRY_POINT_GROUP, name=kind):
        found: type[Configured] = point.load()
        return found
    return None


def load(kind: str) -> "type[Configured]":
    """Return the detector class of a config `type`, which a checked config has."""
    if kind not in TABLE:
        found = third_party(kind)
        assert found
        return found
    detector: type[Configured] = getattr(importlib.import_module(TABLE[kind]), kind)
    return detector
