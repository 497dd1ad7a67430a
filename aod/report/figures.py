"""What is shown of an anomaly: its figures in words, ten operations, and where a thread waits.

How that is laid out, and how much of a long name there is room for, is not known here.
"""

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from aod import text
from aod.bundle.manifest import Anomaly, Operation
from aod.detectors.words import words_of
from aod.report.evidence import time_spent
from aod.report.operations import channel, command, outcome, process, share_name
from aod.report.sentences import worst_ns
from aod.report.wording import clock, listed, moment, times, with_others

SHOWN = 10
"""Operations of an anomaly that are shown one by one."""

Row: TypeAlias = tuple[str, str]
"""What a figure is called, and the figure."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The operations that are shown; `title` says which they are of how many."""

    title: str
    operations: Sequence[Operation]

    @property
    def are_on_one_share(self) -> bool:
        """Whether the title names the share of all of them."""
        return len(set(map(share_name, self.operations))) == 1


@dataclass(frozen=True, slots=True)
class Stack:
    """Where the first thread waits whose stack was read; `entries` has the innermost first."""

    title: str
    entries: Sequence[str]


@dataclass(frozen=True, slots=True)
class Figures:
    """What is shown of one anomaly; `rows` has no figure that says nothing."""

    title: str
    rows: Sequence[Row]
    chosen: Chosen | None
    stack: Stack | None


def figures(anomaly: Anomaly) -> Figures | None:
    """Return what is shown of an anomaly, None where its sentence has said it all."""
    sort, events = words_of(anomaly.anomaly).sort, anomaly.events
    if sort == "asked" and not events:
        return None
    tool = f" ({anomaly.tool})" if anomaly.tool else ""
    title = f"{anomaly.name.upper()}{tool}"
    rows = [("raised", _raised(anomaly))]
    if sort == "asked":
        title, rows = "REQUESTS THAT WERE OPEN", _open(anomaly, _age(anomaly))
    elif sort == "hung":
        rows += _open(anomaly, f"{_age(anomaly)}, when it was last told")
    else:
        rows += _single(anomaly) if len(events) < 2 else _many(anomaly)
    return Figures(
        title=title,
        rows=[(name, value) for name, value in rows if value],
        chosen=chosen(anomaly) if events else None,
        stack=_stack(events) if sort in ("asked", "hung") else None,
    )


def chosen(anomaly: Anomaly) -> Chosen:
    """Choose the ten slowest, or the first of each outcome: the first one is often the cause."""
    words = words_of(anomaly.anomaly)
    operations = _first(anomaly.events) if words.order == "first" else _slowest(anomaly.events)
    count, shares = len(operations), set(map(share_name, operations))
    where = f" on {shares.pop()}" if len(shares) == 1 else ""
    if count > 1:
        all_where = f", all{where}" if where else ""
        return Chosen(f"The {words.order} {count} of {len(anomaly.events)}{all_where}", operations)
    noun = "event" if words.sort in ("lost", "starved") else "operation"
    return Chosen(f"The {noun},{where}" if where else f"The {noun}", operations)


def _slowest(events: Sequence[Operation]) -> list[Operation]:
    return sorted(events, key=lambda operation: operation.latency_ns, reverse=True)[:SHOWN]


def _first(events: Sequence[Operation]) -> list[Operation]:
    """Return the first of each outcome, filled up with the next ones, in time order."""
    seen: set[str] = set()
    leading: list[Operation] = []
    others: list[Operation] = []
    for operation in sorted(events, key=lambda operation: operation.time_ns):
        ended = outcome(operation)
        (others if ended in seen else leading).append(operation)
        seen.add(ended)
    return sorted([*leading, *others][:SHOWN], key=lambda operation: operation.time_ns)


def _many(anomaly: Anomaly) -> Iterator[Row]:
    events, worst = anomaly.events, anomaly.worst
    yield "count", _count(anomaly)
    yield "raised for", _shares(anomaly)
    if worst and worst.latency_ns:
        yield "worst", _against_threshold(worst)
        yield "median", _median(anomaly)
        yield "usual", _usual(anomaly)
    yield "time spent", _time_spent(events)
    yield "commands", listed(events, command) if any(each.command for each in events) else ""
    yield "outcomes", listed(events, outcome)
    yield "shares", listed(events, share_name)
    yield "channels", _channels(events)
    yield "processes", listed(events, process) if words_of(anomaly.anomaly).has_process else ""
    yield "not kept", _omitted(anomaly, "event")


def _single(anomaly: Anomaly) -> Iterator[Row]:
    worst = anomaly.worst
    yield "count", _count(anomaly)
    yield "raised for", _shares(anomaly)
    yield "latency", _against_threshold(worst) if worst and worst.latency_ns else ""
    yield "usual", _usual(anomaly)
    yield "time spent", _time_spent(anomaly.events)


def _open(anomaly: Anomaly, oldest: str) -> list[Row]:
    events = anomaly.events
    limit_ns = anomaly.limit.get("threshold_ms", 0) * 1e6
    limit = f"{text.duration(limit_ns)} without an answer raise it, and each doubling of the age"
    counts = [str(anomaly.count), f"{limit} again" if limit_ns else "", _repeats(anomaly)]
    return [
        ("count", "; ".join(filter(None, counts))),
        ("raised for", _shares(anomaly)),
        ("oldest", oldest),
        ("commands", listed(events, command)),
        ("shares", listed(events, share_name)),
        ("channels", _channels(events)),
        ("processes", listed(events, process)),
        ("not kept", _omitted(anomaly, "request")),
    ]


def _age(anomaly: Anomaly) -> str:
    age_ns, limit_ns = worst_ns(anomaly), anomaly.limit.get("threshold_ms", 0) * 1e6
    age = text.duration(age_ns)
    if not limit_ns:
        return age
    return f"{age}, {times(age_ns, limit_ns)} the threshold of {text.duration(limit_ns)}"


def _raised(anomaly: Anomaly) -> str:
    raised = moment(anomaly.raised)
    return f"{raised}, as an emergency" if anomaly.emergency else raised


def _count(anomaly: Anomaly) -> str:
    limit = between = ""
    if "acceptable_count" in anomaly.limit:
        acceptable = int(anomaly.limit["acceptable_count"])
        limit = f"more than {acceptable} within {anomaly.window_s:g} s raise it"
    if anomaly.first != anomaly.last:
        between = f"from {clock(anomaly.first)} to {clock(anomaly.last)}"
    return "; ".join(filter(None, [str(anomaly.count), limit, _repeats(anomaly), between]))


def _repeats(anomaly: Anomaly) -> str:
    if not anomaly.repeats:
        return ""
    return f"raised {text.plural(anomaly.repeats, 'more time')} while collecting"


def _omitted(anomaly: Anomaly, noun: str) -> str:
    return text.plural(anomaly.events_omitted, f"more {noun}") if anomaly.events_omitted else ""


def _shares(anomaly: Anomaly) -> str:
    """Name the shares whose own counts raised it, where each share has one."""
    # Those of 0.1.0 have backslashes.
    shares = [text.printable(share.replace("\\", "/")) for share in anomaly.shares]
    return f"{with_others(shares)}; each share is counted by itself" if shares else ""


def _against_threshold(operation: Operation) -> str:
    latency = f"{text.duration(operation.latency_ns)} {operation.command}".rstrip()
    if not operation.threshold_ns:
        return latency
    ratio = times(operation.latency_ns, operation.threshold_ns)
    return f"{latency}, {ratio} its threshold of {text.duration(operation.threshold_ns)}"


def _median(anomaly: Anomaly) -> str:
    median_ns: float | None = anomaly.median_latency_ns
    if median_ns is None:
        median_ns = statistics.median(operation.latency_ns for operation in anomaly.events)
    thresholds = Counter(each.threshold_ns for each in anomaly.events if each.threshold_ns)
    if not thresholds:
        return text.duration(median_ns)
    threshold_ns, _ = thresholds.most_common(1)[0]
    threshold = f"the threshold of {text.duration(threshold_ns)}"
    return f"{text.duration(median_ns)}, {times(median_ns, threshold_ns)} {threshold}"


def _usual(anomaly: Anomaly) -> str:
    usual_ns = anomaly.usual_latency_ns
    if not usual_ns:
        return ""
    ratio = times(worst_ns(anomaly), usual_ns)
    return f"{text.duration(usual_ns)} before this; the worst took {ratio} that"


def _time_spent(events: Sequence[Operation]) -> str:
    spent = time_spent(events)
    if not any(spent.values()):
        return ""
    return (
        f"{text.percent(spent['queue'])} waiting to be sent, "
        f"{text.percent(spent['server'])} server and network, "
        f"{text.percent(spent['payload'])} payload"
    )


def _channels(events: Sequence[Operation]) -> str:
    """Name the channels when a session has several: one alone may be the one with the trouble."""
    channels = {operation.channel for operation in events}
    return "" if channels <= {"", "primary"} else listed(events, channel)


def _stack(events: Sequence[Operation]) -> Stack | None:
    waiting = next((operation for operation in events if operation.stack), None)
    if waiting is None:
        return None
    state = text.printable(waiting.task_state or "unknown")
    entries = [text.printable(entry) for entry in waiting.stack]
    return Stack(f"Where {process(waiting)} waits, state {state}", entries)
