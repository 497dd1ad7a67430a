"""Numbers and names as a person reads them, in plain text."""

from collections.abc import Sequence

_TIMES = ((1, "ns"), (1_000, "us"), (1_000_000, "ms"), (1_000_000_000, "s"))
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")


def duration(time_ns: float) -> str:
    """Return nanoseconds with three digits and their unit: `312 ms`, `1.24 s`, `2 min 05 s`."""
    if not time_ns:
        return "0"
    seconds = round(time_ns / 1e9)
    if seconds >= 3600:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
    if seconds >= 60:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    # 999.5 and more would round to four digits: that is the next unit's.
    unit_ns, unit = next((u for u in _TIMES if time_ns < 999.5 * u[0]), _TIMES[-1])
    return f"{_three_digits(time_ns / unit_ns)} {unit}"


def size(count_bytes: int) -> str:
    """Return bytes with three digits and their unit: `873 B`, `1.50 MiB`."""
    value, unit = float(count_bytes), 0
    while value >= 999.5 and unit < len(_SIZES) - 1:
        value /= 1024
        unit += 1
    return f"{count_bytes} B" if unit == 0 else f"{_three_digits(value)} {_SIZES[unit]}"


def percent(part: float) -> str:
    """Return a part of one as `83 %`."""
    return f"{100 * part:.0f} %"


def plural(count: int, noun: str) -> str:
    """Return `1 bundle`, `2 bundles`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def printable(text: str) -> str:
    r"""Return `text` with control characters as `\x1b`: names come from any user."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def tail(text: str, width: int) -> str:
    """Return the end of `text` in at most `width` columns, with `...` for what is cut."""
    return text if len(text) <= width else "..." + text[len(text) - width + 3 :]


def head(text: str, width: int) -> str:
    """Return the beginning of `text` in at most `width` columns, `...` for what is cut."""
    return text if len(text) <= width else text[: width - 3] + "..."


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return aligned lines under a heading; a column named `>name` is aligned to the right."""
    names = [column.removeprefix(">") for column in columns]
    widths = [max(map(len, cells)) for cells in zip(names, *rows, strict=True)]
    lines = []
    for row in (names, *rows):
        cells = [
            cell.rjust(width) if column.startswith(">") else cell.ljust(width)
            for column, cell, width in zip(columns, row, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def _three_digits(value: float) -> str:
    # At 9.995 and 99.95 a digit moves before the point.
    decimals = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{decimals}f}"
