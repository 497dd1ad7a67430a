"""Clocks, compared with the system's own."""

import time
from datetime import datetime

import pytest

from aod.clock import iso, wall_offset_ns


def test_the_offset_turns_monotonic_into_wall_time() -> None:
    difference_ns = time.monotonic_ns() + wall_offset_ns() - time.time_ns()

    assert abs(difference_ns) < 1_000_000_000


@pytest.mark.parametrize(
    ("wall_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000+00:00"),
        (1_763_806_988_123_456_789, "2025-11-22T10:23:08.123456+00:00"),
    ],
)
def test_iso_is_utc_with_microseconds(wall_ns: int, text: str) -> None:
    assert iso(wall_ns) == text
    assert int(datetime.fromisoformat(text).timestamp()) == wall_ns // 10**9
