"""The clocks of aod: monotonic inside, wall time only at the edges."""

import time
from datetime import UTC, datetime


def wall_offset_ns() -> int:
    """Nanoseconds to add to a CLOCK_MONOTONIC time to get nanoseconds since the epoch.

    Wall time is read between two readings of the monotonic clock, so that a preemption in
    between halves its error; sampled anew for each batch, as wall time may be stepped.
    """
    before = time.monotonic_ns()
    wall = time.time_ns()
    after = time.monotonic_ns()
    return wall - (before + after) // 2


def iso(wall_ns: int) -> str:
    """Format nanoseconds since the epoch as UTC in ISO 8601 with microseconds."""
    seconds, rest_ns = divmod(wall_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest_ns // 1000)
    return moment.isoformat(timespec="microseconds")
