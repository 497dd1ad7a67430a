"""Finds where in a log file a span of time begins, reading back from the end."""

import os
import re
from datetime import datetime
from io import FileIO
from typing import NamedTuple

BLOCK_BYTES = 64 << 10
STAMP_BYTES = 48
"""Longer than any stamp, so that one across a block's border is seen whole."""
DAY_S = 86_400.0
MONTHS = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_CLASSIC = rb"(?:%s) [ \d]\d \d\d:\d\d:\d\d(?= )" % b"|".join(MONTHS)
_RFC3339 = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)(?= )"
_STAMP = re.compile(rb"(?<=\n)(?:%s|%s)" % (_CLASSIC, _RFC3339))


class SpanStart(NamedTuple):
    """Where to begin, whether the cap cut older lines off, and whether any stamp was found."""

    offset: int
    truncated: bool
    stamped: bool


def stamp_s(stamp: bytes, near_s: float) -> float | None:
    """Return a stamp as seconds since the epoch, or None when it is no date.

    Classic syslog stamps (`Nov 22 10:10:01`) are local time without a year: it is the last one
    that does not put them more than a day after `near_s`. RFC 3339 stamps are complete.
    """
    text = stamp.decode("ascii")
    if text[0].isdigit():
        return _seconds(text)
    month = MONTHS.index(stamp[:3]) + 1
    year = datetime.fromtimestamp(near_s).year
    rest = f"{month:02}-{text[4:6].replace(' ', '0')}T{text[7:]}"
    for candidate in (year + 1, year, year - 1):
        moment = _seconds(f"{candidate}-{rest}")
        if moment is not None and moment <= near_s + DAY_S:
            return moment
    return None


def span_start(file: FileIO, since_s: float, near_s: float, max_bytes: int) -> SpanStart:
    """Return where the lines from `since_s` on begin, at most `max_bytes` before the end.

    Lines without a stamp belong to the line before. The first stamp of a block shows whether
    it lies within the span; only the block with the border is read line by line. With no stamp
    in reach the span is all that the cap allows. Raises OSError.
    """
    size = os.fstat(file.fileno()).st_size
    floor = max(0, size - max_bytes)
    begin, stamped, end = floor, False, size
    while end > floor:
        block = max(floor, end - BLOCK_BYTES)
        stamps = _stamps(file, block, end, near_s)
        for first, moment in stamps[:1]:
            if moment < since_s:
                later = _after_last_older(stamps, since_s)
                return SpanStart(begin if stamped and later is None else later or size, False, True)
            begin, stamped = first, True
        end = block
    if floor == 0:
        return SpanStart(0, False, stamped)
    return SpanStart(begin, True, stamped)


def _after_last_older(stamps: list[tuple[int, float]], since_s: float) -> int | None:
    """Return the offset of the stamp after the last one before the span, if there is one."""
    later = None
    for offset, moment in reversed(stamps):
        if moment < since_s:
            return later
        later = offset
    return later


def _stamps(file: FileIO, begin: int, end: int, near_s: float) -> list[tuple[int, float]]:
    """Return offset and time of each stamped line that begins in [begin, end)."""
    # One byte before: the newline that makes the block's first byte a line's beginning.
    before = min(1, begin)
    data = os.pread(file.fileno(), end - begin + before + STAMP_BYTES, begin - before)
    if not before:
        data, before = b"\n" + data, 1
    found = []
    for match in _STAMP.finditer(data):
        offset = begin + match.start() - before
        moment = stamp_s(match[0], near_s) if offset < end else None
        if moment is not None:
            found.append((offset, moment))
    return found


def _seconds(iso: str) -> float | None:
    """Return ISO 8601 (local time where it names no zone) as seconds since the epoch."""
    try:
        return datetime.fromisoformat(iso.replace(",", ".")).timestamp()
    except (ValueError, OverflowError):
        return None
