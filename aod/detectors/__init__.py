"""Events in, an Anomaly out: a detector a file, and what feeds and replaces them."""

import enum
import importlib
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from aod.detectors.detector import Configured


class AnomalyType(enum.StrEnum):
    """The kinds of trouble, a line for each detector of aod's own; `manual` has none.

    A kind is the detector's `type` in lower case. It stands in manifests and in the journal,
    and it is the name of the detector's module.
    """

    LATENCY = "latency"
    ERROR = "error"
    INFLIGHT = "inflight"
    RECONNECT = "reconnect"
    CREDITS = "credits"
    MANUAL = "manual"


TABLE = {
    kind.capitalize(): f"aod.detectors.{kind}"
    for kind in AnomalyType
    if kind is not AnomalyType.MANUAL
}
"""{type: the module whose class of that name is the detector}"""

MAX_THRESHOLD_MS = 86_400_000
"""The longest latency that a threshold may name: a day."""

ENTRY_POINT_GROUP = "aod.detectors"
"""Where an installed package announces a detector of its own: TYPE = "module:class"."""


def known_types() -> tuple[str, ...]:
    """Return the types of TABLE followed by those of installed third-party detectors."""
    return tuple(TABLE) + tuple(sorted(_installed()))


@cache
def third_party(type_name: str) -> "type[Configured] | None":
    """Return the detector class that an installed package offers for a `type`.

    Raises whatever the package's import raises.
    """
    if type_name in TABLE:
        return None
    point = _installed().get(type_name)
    found: type[Configured] | None = point.load() if point else None
    return found


def load(type_name: str) -> "type[Configured]":
    """Return the detector class of a `type`, which a checked config has."""
    if type_name not in TABLE:
        found = third_party(type_name)
        assert found
        return found
    module = importlib.import_module(TABLE[type_name])
    detector: type[Configured] = getattr(module, type_name)
    return detector


def of_kind(kind: str) -> "type[Configured] | None":
    """Return the detector class of a kind of anomaly, None where nobody offers one.

    Raises whatever a third party's import raises.
    """
    if kind.capitalize() in TABLE:
        return load(kind.capitalize())
    types = [type_name for type_name in _installed() if type_name.lower() == kind]
    return third_party(types[0]) if types else None


def _installed() -> "dict[str, EntryPoint]":
    """Return third-party detectors by type; none takes the place or the kind of aod's own."""
    from importlib.metadata import entry_points  # 20 ms: not paid by every command

    kinds = frozenset[str](AnomalyType)
    points = entry_points(group=ENTRY_POINT_GROUP)
    return {point.name: point for point in points if point.name.lower() not in kinds}
