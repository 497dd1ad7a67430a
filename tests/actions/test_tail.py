"""Tests of aod.actions.tail: stamps, and where a span begins."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aod.actions.tail import BLOCK_BYTES, SpanStart, span_start, stamp_s

NEAR_S = datetime(2026, 1, 1, 0, 10, tzinfo=UTC).timestamp()


@pytest.fixture(autouse=True)
def local_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two hours before UTC, without daylight saving."""
    monkeypatch.setenv("TZ", "XYZ-2")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("stamp", "utc"),
    [
        (b"Jan  1 02:05:00", "2026-01-01T00:05:00Z"),
        (b"Jan  1 01:55:00", "2025-12-31T23:55:00Z"),
        (b"Dec 31 23:59:59", "2025-12-31T21:59:59Z"),
        (b"Jun 30 12:00:00", "2025-06-30T10:00:00Z"),
        (b"Jan  2 02:05:00", "2026-01-02T00:05:00Z"),
        (b"Jan  3 02:05:00", "2025-01-03T00:05:00Z"),
        (b"2026-01-01T00:05:00Z", "2026-01-01T00:05:00Z"),
        (b"2026-01-01T02:05:00+02:00", "2026-01-01T00:05:00Z"),
        (b"2026-01-01T02:05:00.5+0200", "2026-01-01T00:05:00.500000Z"),
        (b"2025-12-31T23:05:00.123456-01:00", "2026-01-01T00:05:00.123456Z"),
        (b"2026-01-01T00:05:00,123456789Z", "2026-01-01T00:05:00.123456Z"),
    ],
)
def test_a_stamp_is_a_moment(stamp: bytes, utc: str) -> None:
    assert stamp_s(stamp, NEAR_S) == datetime.fromisoformat(utc).timestamp()


@pytest.mark.parametrize("stamp", [b"Feb 30 00:00:00", b"Jan  1 25:00:00", b"2026-13-01T00:00:00Z"])
def test_what_is_no_date_is_no_moment(stamp: bytes) -> None:
    assert stamp_s(stamp, NEAR_S) is None


def test_the_leap_day_is_one_of_the_last_leap_year() -> None:
    near_s = datetime(2025, 1, 15, tzinfo=UTC).timestamp()

    moment = stamp_s(b"Feb 29 02:00:00", near_s)

    assert moment == datetime(2024, 2, 29, tzinfo=UTC).timestamp()


def find(path: Path, content: bytes, max_bytes: int = 1 << 30) -> SpanStart:
    path.write_bytes(content)
    with FileIO(path) as file:
        return span_start(file, NEAR_S - 300, NEAR_S, max_bytes)


def line(age_s: int, text: str = "host app: text") -> bytes:
    moment = datetime.fromtimestamp(NEAR_S - age_s, UTC)
    return f"{moment.isoformat()} {text}\n".encode()


def test_the_span_begins_after_the_lines_of_an_older_record(tmp_path: Path) -> None:
    older = line(301) + b"\tits second line\n"

    start = find(tmp_path / "log", older + line(300) + b"\tmore\n" + line(0))

    assert start == SpanStart(len(older), truncated=False, stamped=True)


def test_a_log_that_ends_before_the_span_gives_nothing(tmp_path: Path) -> None:
    content = line(900) + line(800) + b"\tits second line\n"

    assert find(tmp_path / "log", content) == SpanStart(len(content), truncated=False, stamped=True)


def test_a_log_that_begins_within_the_span_is_whole(tmp_path: Path) -> None:
    content = b"no stamp\n" + line(200)

    assert find(tmp_path / "log", content) == SpanStart(0, truncated=False, stamped=True)


def test_the_cap_cuts_the_oldest_lines_at_a_stamped_line(tmp_path: Path) -> None:
    first, rest = line(200), line(100) + line(0)

    start = find(tmp_path / "log", first + rest, max_bytes=len(rest) + 5)

    assert start == SpanStart(len(first), truncated=True, stamped=True)


def test_a_log_without_known_stamps_gives_what_the_cap_allows(tmp_path: Path) -> None:
    start = find(tmp_path / "log", b"1700000000 text\n" * 10, max_bytes=50)

    assert start == SpanStart(110, truncated=True, stamped=False)


def test_a_stamp_within_a_line_is_none_even_where_a_block_begins(tmp_path: Path) -> None:
    before = line(400)
    quoted = line(400).ljust(BLOCK_BYTES, b"z")

    start = find(tmp_path / "log", before + line(200).strip() + quoted)

    assert start.offset == len(before)


@given(
    older=st.lists(st.integers(1, 40_000), max_size=8),
    newer=st.lists(st.integers(1, 40_000), min_size=1, max_size=8),
)
def test_the_border_is_found_wherever_it_lies_in_the_blocks(
    tmp_path_factory: pytest.TempPathFactory, older: list[int], newer: list[int]
) -> None:
    before = b"".join(line(400, "o" * size) for size in older)
    within = b"".join(line(200, "n" * size) for size in newer)

    start = find(tmp_path_factory.mktemp("log") / "log", before + within)

    assert start.offset == len(before)
