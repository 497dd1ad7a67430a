"""Makes events for the tests."""

from typing import Any

from aod.events import Events, Kind, empty

MS = 1_000_000
SECOND = 1_000_000_000


def make(*times_ns: int, **fields: Any) -> Events:
    """Return one completed operation per time, with the other fields set alike."""
    events = empty(len(times_ns))
    events["kind"] = Kind.COMPLETED
    events["time_ns"] = times_ns
    for name, value in fields.items():
        events[name] = value
    return events
