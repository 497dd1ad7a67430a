"""How times are put, and names by how often they occur."""

from collections import Counter
from collections.abc import Callable, Sequence

from aod import text
from aod.bundle.manifest import Operation
from aod.report.operations import UNKNOWN_SHARE, share_name

NAMED = 4
"""Commands, shares and processes that are named before the rest is counted."""


def moment(iso: str) -> str:
    """Return date and time of day of an ISO 8601 time, to the millisecond."""
    return f"{iso[:10]} {iso[11:23]}".strip() or "an unknown time"


def clock(iso: str) -> str:
    """Return the time of day of an ISO 8601 time, to the millisecond."""
    return iso[11:23] or "?"


def times(latency_ns: float, of_ns: float) -> str:
    """Return how many times as long it took: `2.7 x`."""
    ratio = latency_ns / of_ns
    return f"{ratio:.0f} x" if ratio >= 10 else f"{ratio:.1f} x"


def place(operations: Sequence[Operation]) -> str:
    """Name the share of operations, or both, or how many there are."""
    shares = list(Counter(map(share_name, operations)))
    if not shares:
        return UNKNOWN_SHARE
    if len(shares) <= 2:
        return " and ".join(shares)
    return f"{len(shares)} shares (mostly {shares[0]})"


def mostly(before: str, operations: Sequence[Operation], name: Callable[[Operation], str]) -> str:
    """Name what all or most operations have in common; without a majority say so."""
    counts = Counter(map(name, operations)).most_common()
    first = f"{before}{counts[0][0]}" if counts else f"{before}unknown"
    if len(counts) < 2:
        return first
    if 2 * counts[0][1] > len(operations):
        return f"mostly {first}"
    return f"{first} and {text.plural(len(counts) - 1, 'other')}"


def listed(operations: Sequence[Operation], name: Callable[[Operation], str]) -> str:
    """Return the most frequent names with their counts, and how many others there are."""
    counts = Counter(map(name, operations)).most_common()
    return with_others([f"{value} {count}" for value, count in counts])


def with_others(names: Sequence[str]) -> str:
    """Return the first names, and how many others there are."""
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f", and {text.plural(rest, 'other')}" if rest > 0 else "")
