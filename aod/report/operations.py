"""Operations as lines of text: the ten that a summary shows, and the names of their parts."""

from collections.abc import Mapping, Sequence
from typing import Any

from aod import text
from aod.report.evidence import Event

WIDTH = 118
SHOWN = 10

UNKNOWN_SHARE = "an unknown share"
WITHOUT_COMMAND = {
    "unsent": "no request",
    "unanswered": "not sent yet",
    "reconnect": "reconnect",
    "credit_wait": "credits",
    "tree_connect": "tree connect",
}
"""What stands in the place of a command, by the kind of an event that has none."""


def ten_operations(anomaly: Mapping[str, Any]) -> list[str]:
    """Return the ten slowest, or of errors the first: the first one is often the cause."""
    events = anomaly.get("events", ())
    if anomaly.get("anomaly") in ("error", "reconnect"):
        title, chosen = "first", _first(events)
    else:
        title = "oldest" if anomaly.get("anomaly") in ("inflight", "manual") else "worst"
        chosen = sorted(events, key=lambda e: e.get("latency_ns", 0), reverse=True)[:SHOWN]
    shares = {share_name(event) for event in chosen}
    place = f", all on {shares.pop()}" if len(shares) == 1 else ""
    count = len(chosen)
    place = place if count > 1 else place.replace("all on", "on")
    noun = "event" if anomaly.get("anomaly") in ("reconnect", "credits") else "operation"
    told = f"The {title} {count} of {len(events)}" if count > 1 else f"The {noun}"
    return [f"{told}{place}:", *_operation_table(chosen, with_share=bool(shares))]


def _first(events: Sequence[Event]) -> list[Event]:
    """Return the first of each outcome, filled up with the next ones, in time order."""
    in_order = sorted(events, key=lambda event: event.get("time_ns", 0))
    seen: dict[str, Event] = {}
    for event in in_order:
        seen.setdefault(outcome(event), event)
    leading = list(seen.values())
    others = [event for event in in_order if not any(event is first for first in leading)]
    return sorted([*leading, *others][:SHOWN], key=lambda event: event.get("time_ns", 0))


def share_name(event: Event) -> str:
    r"""Return `\\server\share`, or the tree id where the name is not known, or the server."""
    if event.get("share"):
        share = str(event["share"]).lstrip("\\").rpartition("\\")[2]
        return text.printable(rf"\\{event.get('server') or '?'}\{share}")
    server = rf"\\{event['server']}" if event.get("server") else ""
    if not int(str(event.get("tree_id") or "0x0"), 16):
        return text.printable(server) or UNKNOWN_SHARE
    return text.printable(f"{server} tree {event['tree_id']}".strip())


def command(event: Event) -> str:
    """Return `SMB2_READ` and so on, or a word for what has no command."""
    return str(event.get("command") or WITHOUT_COMMAND.get(str(event.get("kind")), "?"))


def outcome(event: Event) -> str:
    """Return the status; for what got no response its cause or kind, and its errno."""
    kind, error = str(event.get("kind", "")), str(event.get("error", ""))
    if kind == "completed":
        return str(event.get("status") or error)
    return f"{str(event.get('cause') or kind).replace('_', ' ')} {error}".strip()


def process(event: Event) -> str:
    """Return the name and pid of the process that asked."""
    return f"{text.printable(str(event.get('comm') or '?'))} (pid {event.get('pid', '?')})"


def clock(iso: str) -> str:
    """Return the time of day of an ISO 8601 time, to the millisecond."""
    return iso[11:23] or "?"


def _operation_table(events: Sequence[Event], *, with_share: bool) -> list[str]:
    columns = [
        "time", "command", ">latency", ">queue", ">server", ">payload", "status",
        *(["share"] if with_share else []), ">pid", "comm", "file",
    ]  # fmt: skip
    rows = [_operation(event, with_share=with_share) for event in events]
    fixed = sum(max(map(len, cells)) + 2 for cells in zip(columns, *rows, strict=True))
    longest = max(len(row[-1]) for row in rows)
    left = max(WIDTH - fixed + max(longest, len("file")) + 2, 12)
    return text.table(columns, [[*row[:-1], text.tail(row[-1], left)] for row in rows])


def _operation(event: Event, *, with_share: bool) -> list[str]:
    parts = ("latency_ns", "queue_ns", "server_ns", "payload_ns")
    return [
        clock(event.get("time", "")),
        command(event).removeprefix("SMB2_"),
        *(text.duration(event.get(part, 0)) for part in parts),
        text.head(outcome(event).removeprefix("STATUS_"), 22),
        *([_short_share(event)] if with_share else []),
        str(event.get("pid", "")),
        text.printable(str(event.get("comm", ""))),
        _file(event),
    ]


def _short_share(event: Event) -> str:
    share = share_name(event)
    return "-" if share == UNKNOWN_SHARE else text.tail(share.lstrip("\\"), 16)


def _file(event: Event) -> str:
    if event.get("file"):
        return text.printable(str(event["file"]))
    return "-" if event.get("file_id") in (None, "", "0x0") else f"id {event['file_id']}"
