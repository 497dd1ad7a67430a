"""Clocks, compared with the system's own."""

import re
import time
from datetime import datetime

import pytest

from aod.clock import iso, wall_offset_ns
from tests import ROOT

WALL_READERS = {
    "clock.py": "the offset",
    "incidents/cleanup.py": "the clean-up, which knows of steps",
    "commands/collect.py": "the stamp of what somebody asked for",
    "incidents/evidence.py": "when it was sealed",
    "actions/runner.py": "when an action was started",
    "runtime/audit.py": "when a note was taken",
    "bundle/output.py": "which time stamps are of the future",
    "redact/pseudonyms.py": "the name of a damaged map that is set aside",
}
"""Windows, cooldowns and timeouts are not among them: those must not go by a clock that is set."""


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


def test_wall_time_is_read_only_where_something_is_named_or_told() -> None:
    reading = re.compile(
        r"\btime\.time(_ns)?\b|\bCLOCK_REALTIME\b|date(time)?\.(now|utcnow|today)\("
    )
    aod = ROOT / "aod"

    readers = {
        str(path.relative_to(aod))
        for path in aod.rglob("*.py")
        if reading.search(re.sub(r'""".*?"""', "", path.read_text(), flags=re.S))
    }

    assert readers - WALL_READERS.keys() == set()
    assert WALL_READERS.keys() - readers == set()
