"""What goes on, as `aod top` shows it: JSON, plain text, or a table for the terminal."""

import json
from typing import TYPE_CHECKING, Any

from aod import text
from aod.activity.activities import Activities, Activity
from aod.smb.paths import share_path

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = (
    *("SHARE", "COMMAND", ">OPS/S", ">P50(ms)", ">P99(ms)"),
    *(">MAX(ms)", ">ERR/S", ">IN FLIGHT"),
)


def as_json(activities: Activities) -> str:
    """Return a JSON object on one line."""
    interval_s = activities.interval_s
    fields = {
        "time": activities.time,
        "interval_s": round(interval_s, 6),
        "activities": [_plain(each, interval_s) for each in activities.activities],
        "total": _plain(activities.total, interval_s),
    }
    return json.dumps(fields)


def as_text(activities: Activities) -> str:
    """Return lines of text that end with an empty one."""
    return "\n".join([_title(activities), *text.table(COLUMNS, _rows(activities)), ""])


def as_table(activities: Activities, room: int) -> "Table":
    """Return the table with as many rows as there is room for, the total always."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=_title(activities), title_justify="left", show_footer=False)
    for name in COLUMNS:
        table.add_column(name.lstrip(">"), justify="right" if name.startswith(">") else "left")
    *rows, last = _rows(activities)
    for row in rows[:room]:
        table.add_row(*map(Text, row))
    if len(rows) > room:
        table.add_row(f"and {len(rows) - room} more")
    table.add_section()
    table.add_row(*map(Text, last), style="bold")
    return table


def _title(activities: Activities) -> str:
    return f"{activities.time[:19].replace('T', ' ')} UTC, {activities.interval_s:.1f} s"


def _rows(activities: Activities) -> list[list[str]]:
    """Return the cells of each line, the total last."""
    lines = [*activities.activities, activities.total]
    return [_row(each, activities.interval_s) for each in lines]


def _row(activity: Activity, interval_s: float) -> list[str]:
    place = share_path(activity.server, activity.share) or "total"
    times_ns = (activity.p50_ns, activity.p99_ns, activity.max_ns)
    latency = (f"{time_ns / 1e6:.2f}" if activity.operations else "-" for time_ns in times_ns)
    return [
        text.tail(text.printable(place), 40),
        activity.command.removeprefix("SMB2_"),
        f"{activity.operations / interval_s:.1f}",
        *latency,
        f"{activity.errors / interval_s:.1f}",
        str(activity.in_flight),
    ]


def _plain(activity: Activity, interval_s: float) -> dict[str, Any]:
    names = {
        name: value
        for name in ("server", "share", "command")
        if (value := getattr(activity, name)) or activity.server
    }
    return names | {
        "operations": activity.operations,
        "operations_per_s": round(activity.operations / interval_s, 3),
        "errors": activity.errors,
        "errors_per_s": round(activity.errors / interval_s, 3),
        "bytes_per_s": round(activity.bytes / interval_s),
        "p50_ms": round(activity.p50_ns / 1e6, 3),
        "p99_ms": round(activity.p99_ns / 1e6, 3),
        "max_ms": round(activity.max_ns / 1e6, 3),
        "in_flight": activity.in_flight,
    }
