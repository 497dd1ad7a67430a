"""summary.txt: what a person reads first, made from nothing but the manifest."""

import statistics
import textwrap
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from aod import text
from aod.errors import ANOTHER_SHAPE, BundleError
from aod.report.advice import advise, time_spent
from aod.report.evidence import Event
from aod.report.operations import (
    WIDTH,
    clock,
    command,
    outcome,
    process,
    share_name,
    ten_operations,
)

Manifest: TypeAlias = Mapping[str, Any]

_NAMED = 4
"""Commands, shares and processes that are named before the rest is counted."""

_ENTRIES = 10
"""Of a kernel stack; the rest is how the system call came in, and stands in the manifest."""

_NOUNS = {"reconnect": "connection", "credits": "credit wait"}
_VERBS = {"latency": "slow", "error": "failed", "reconnect": "lost", "credits": "counted"}
"""What an anomaly counts, and what became of it."""

_STATES = {
    "collecting": "Not complete: it is still being collected.",
    "interrupted": "Not complete: aod ended, or the disk refused, before all was collected.",
}


def render(manifest: Manifest) -> str:
    """Return the text of summary.txt for a manifest of format 1, in any state.

    Raises BundleError for one of another shape: it may come from elsewhere.
    """
    try:
        return _render(manifest)
    except ANOTHER_SHAPE as error:
        told = f"{type(error).__name__}: {error}"
        raise BundleError(
            f"its manifest is none that this aod can tell in words ({told})"
        ) from error


def _render(manifest: Manifest) -> str:
    parts = [_heading(manifest)]
    parts += [_figures(anomaly) for anomaly in manifest.get("anomalies", ())]
    parts += [_suppressed(manifest), _collected(manifest), _lost(manifest), _next(manifest)]
    lines = "\n\n".join("\n".join(part) for part in parts if part).split("\n")
    # Once more over all: a manifest may come from elsewhere.
    return "\n".join(text.printable(line) for line in lines) + "\n"


def sentence(anomaly: Mapping[str, Any]) -> str:
    """Say of an anomaly of the manifest what, where, who and since when."""
    kind, events = anomaly.get("anomaly"), anomaly.get("events", ())
    since = _moment(anomaly.get("first") or anomaly.get("raised", ""))
    if kind == "manual":
        reason = text.printable(str(anomaly.get("reason") or "no reason given"))
        return f"Collected by hand at {_moment(anomaly.get('raised', ''))} UTC: {reason}."
    if kind == "inflight":
        return _hung_sentence(anomaly)
    verb = _VERBS.get(str(kind), f"seen as {kind}")
    if kind != "error":
        verb = f"{'was' if anomaly.get('count') == 1 else 'were'} {verb}"
    parts = [_mostly("", events, command if kind == "latency" else outcome)]
    if kind != "reconnect":
        parts.append(_mostly("by ", events, process))
    urgent = "Emergency: " if anomaly.get("emergency") else ""
    count = text.plural(anomaly.get("count", 0), _NOUNS.get(str(kind), "operation"))
    worst_ns = _worst_ns(anomaly)
    worst = f"; the worst took {text.duration(worst_ns)}" if worst_ns and kind != "error" else ""
    told = f"{urgent}{count} on {_place(events)} {verb}, {', '.join(parts)}"
    return f"{told}, since {since} UTC{worst}."


def _heading(manifest: Manifest) -> list[str]:
    state = str(manifest.get("state", "unknown"))
    lines = [f"aod_{manifest.get('timestamp', 0):019d} ({state})", ""]
    for anomaly in manifest.get("anomalies", ()):
        lines += _wrap(sentence(anomaly))
        if anomaly.get("anomaly") != "manual" and anomaly.get("reason"):
            lines += _wrap(f"Note: {text.printable(str(anomaly['reason']))}.")
    if state in _STATES:
        lines += _wrap(_STATES[state])
    host, versions = manifest.get("host", {}), manifest.get("versions", {})
    about = (
        f"Host {host.get('name', '?')}: Linux {host.get('kernel', '?')}, {host.get('os', '?')}, "
        f"{host.get('machine', '?')}, {text.plural(host.get('cpus', 0), 'CPU')}; "
        f"aod {versions.get('aod', '?')}. All times are UTC."
    )
    return [*lines, "", *_wrap(text.printable(about))]


def _hung_sentence(anomaly: Mapping[str, Any]) -> str:
    events = anomaly.get("events", ())
    have = "has" if anomaly.get("count") == 1 else "have"
    waiting = sum(not event.get("command") for event in events)
    how = f"{_mostly('', events, command)}, " if waiting < len(events) else ""
    what = "sent" if waiting == len(events) else "sent or answered" if waiting else "answered"
    since = _moment(anomaly.get("first") or anomaly.get("raised", ""))
    return (
        f"{text.plural(anomaly.get('count', 0), 'request')} on {_place(events)} {have} not been "
        f"{what} for {text.duration(_worst_ns(anomaly))}, {how}"
        f"{_mostly('by ', events, process)}, since {since} UTC."
    )


def _figures(anomaly: Mapping[str, Any]) -> list[str]:
    events = anomaly.get("events", ())
    tool = f" ({anomaly['tool']})" if anomaly.get("tool") else ""
    title = f"{str(anomaly.get('name', '?')).upper()}{tool}"
    raised = ("raised", _raised(anomaly))
    if anomaly.get("anomaly") == "manual":
        if not events:
            return []
        return [
            "REQUESTS THAT WERE OPEN",
            *_pairs(_hung(anomaly)),
            *_shown(anomaly),
            *_stack(events),
        ]
    if anomaly.get("anomaly") == "inflight":
        return [title, *_pairs([raised, *_hung(anomaly)]), *_shown(anomaly), *_stack(events)]
    if len(events) < 2:
        return [title, *_pairs([raised, *_single(anomaly)]), *_shown(anomaly)]
    omitted = anomaly.get("events_omitted", 0)
    rows = [
        raised,
        ("count", _count(anomaly)),
        ("raised for", _shares_raised(anomaly)),
        *(_latencies(anomaly) if _worst_ns(anomaly) else ()),
        ("time spent", _time_spent(events)),
        ("commands", _commands(events)),
        ("outcomes", _listed(events, outcome)),
        ("shares", _listed(events, share_name)),
        ("channels", _channels(events)),
        ("processes", _listed([e for e in events if e.get("kind") != "reconnect"], process)),
        ("not kept", f"{text.plural(omitted, 'more event')}" if omitted else ""),
    ]
    return [title, *_pairs(rows), *_shown(anomaly)]


def _single(anomaly: Mapping[str, Any]) -> list[tuple[str, str]]:
    worst = anomaly.get("worst") or {}
    return [
        ("count", _count(anomaly)),
        ("raised for", _shares_raised(anomaly)),
        ("latency", _against(_worst_ns(anomaly), worst) if _worst_ns(anomaly) else ""),
        ("usual", _usual(anomaly)),
        ("time spent", _time_spent(anomaly.get("events", ()))),
    ]


def _hung(anomaly: Mapping[str, Any]) -> list[tuple[str, str]]:
    events, omitted = anomaly.get("events", ()), anomaly.get("events_omitted", 0)
    age_ns, limit_ns = _worst_ns(anomaly), anomaly.get("limit", {}).get("threshold_ms", 0) * 1e6
    count, age = str(anomaly.get("count", 0)), text.duration(age_ns)
    if limit_ns:
        limit = text.duration(limit_ns)
        count += f"; {limit} without an answer raise it, and each doubling of the age again"
        age += f", {_times(age_ns, limit_ns)} the threshold of {limit}"
    if anomaly.get("repeats"):
        count += f"; raised {text.plural(anomaly['repeats'], 'more time')} while collecting"
    return [
        ("count", count),
        ("raised for", _shares_raised(anomaly)),
        ("oldest", age if anomaly.get("anomaly") == "manual" else f"{age}, when it was last told"),
        ("commands", _listed(events, command)),
        ("shares", _listed(events, share_name)),
        ("channels", _channels(events)),
        ("processes", _listed(events, process)),
        ("not kept", f"{text.plural(omitted, 'more request')}" if omitted else ""),
    ]


def _stack(events: Sequence[Event]) -> list[str]:
    """Show where the first thread waits whose stack was read, innermost first."""
    event = next((event for event in events if event.get("stack")), None)
    if event is None:
        return []
    state = text.printable(str(event.get("task_state") or "unknown"))
    entries = [str(entry) for entry in event["stack"]]
    more = [f"  and {len(entries) - _ENTRIES} more"] if len(entries) > _ENTRIES else []
    shown = [f"  {text.head(text.printable(entry), WIDTH - 2)}" for entry in entries[:_ENTRIES]]
    return ["", f"Where {process(event)} waits, state {state}:", *shown, *more]


def _shown(anomaly: Mapping[str, Any]) -> list[str]:
    return ["", *ten_operations(anomaly)] if anomaly.get("events") else []


def _raised(anomaly: Mapping[str, Any]) -> str:
    raised = _moment(anomaly.get("raised", ""))
    return f"{raised}, as an emergency" if anomaly.get("emergency") else raised


def _count(anomaly: Mapping[str, Any]) -> str:
    parts = [str(anomaly.get("count", 0))]
    acceptable = anomaly.get("limit", {}).get("acceptable_count")
    if acceptable is not None:
        parts.append(f"more than {acceptable} within {anomaly.get('window_s', 0):g} s raise it")
    if anomaly.get("repeats"):
        parts.append(f"raised {text.plural(anomaly['repeats'], 'more time')} while collecting")
    if anomaly.get("first") != anomaly.get("last"):
        parts.append(f"from {clock(anomaly.get('first', ''))} to {clock(anomaly.get('last', ''))}")
    return "; ".join(parts)


def _worst_ns(anomaly: Mapping[str, Any]) -> int:
    return int((anomaly.get("worst") or {}).get("latency_ns", 0))


def _against(latency_ns: float, event: Event) -> str:
    threshold_ns = event.get("threshold_ns")
    told = text.duration(latency_ns)
    if event.get("command"):
        told += f" {event['command']}"
    if threshold_ns:
        told += f", {_times(latency_ns, threshold_ns)} its threshold of "
        told += text.duration(threshold_ns)
    return told


def _latencies(anomaly: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        ("worst", _against(_worst_ns(anomaly), anomaly.get("worst") or {})),
        ("median", _median(anomaly)),
        ("usual", _usual(anomaly)),
    ]


def _commands(events: Sequence[Event]) -> str:
    return _listed(events, command) if any(event.get("command") for event in events) else ""


def _shares_raised(anomaly: Mapping[str, Any]) -> str:
    """Name the shares whose own counts raised it, where each share has one."""
    shares = [text.printable(str(share)) for share in anomaly.get("shares", ())]
    rest = len(shares) - _NAMED
    more = f", and {text.plural(rest, 'other')}" if rest > 0 else ""
    return f"{', '.join(shares[:_NAMED])}{more}; each share is counted by itself" if shares else ""


def _median(anomaly: Mapping[str, Any]) -> str:
    events = anomaly.get("events", ())
    median_ns = anomaly.get("median_latency_ns")
    if median_ns is None:
        median_ns = statistics.median(event.get("latency_ns", 0) for event in events)
    thresholds = Counter(e["threshold_ns"] for e in events if e.get("threshold_ns"))
    if not thresholds:
        return text.duration(median_ns)
    threshold_ns, _ = thresholds.most_common(1)[0]
    threshold = f"the threshold of {text.duration(threshold_ns)}"
    return f"{text.duration(median_ns)}, {_times(median_ns, threshold_ns)} {threshold}"


def _usual(anomaly: Mapping[str, Any]) -> str:
    usual_ns = anomaly.get("usual_latency_ns")
    if not usual_ns:
        return ""
    worst = _times(_worst_ns(anomaly), usual_ns)
    return f"{text.duration(usual_ns)} before this; the worst took {worst} that"


def _times(latency_ns: float, of_ns: float) -> str:
    times = latency_ns / of_ns
    return f"{times:.0f} x" if times >= 10 else f"{times:.1f} x"


def _time_spent(events: Sequence[Event]) -> str:
    spent = time_spent(events)
    if not any(spent.values()):
        return ""
    return (
        f"{text.percent(spent['queue'])} waiting to be sent, "
        f"{text.percent(spent['server'])} server and network, "
        f"{text.percent(spent['payload'])} payload"
    )


def suppressed_table(suppressed: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what was held back as lines of text."""
    rows = [
        [
            text.printable(str(item.get("name", "?"))),
            str(item.get("count", 0)),
            _moment(item.get("first", "")),
            _moment(item.get("last", "")),
            text.duration(item.get("worst_latency_ns", 0)),
        ]
        for item in suppressed
    ]
    return text.table(["anomaly", ">times", "first", "last", ">worst"], rows)


def _suppressed(manifest: Manifest) -> list[str]:
    suppressed = manifest.get("suppressed_since_last", ())
    if not suppressed:
        return []
    title = "COUNTED ONLY (raised since the bundle before this one, in a cooldown)"
    return [title, *suppressed_table(suppressed)]


def _collected(manifest: Manifest) -> list[str]:
    actions = manifest.get("actions", {})
    rows = [
        [
            name,
            str(result.get("state", "?")),
            str(result.get("file") or "-"),
            text.size(result["bytes"]) if result.get("bytes") else "-",
            text.duration(result["duration_s"] * 1e9) if result.get("duration_s") else "-",
            _note(result),
        ]
        for name, result in sorted(actions.items(), key=lambda i: i[1].get("state") != "ok")
    ]
    short = _short_of_room(manifest.get("disk", {}))
    if not rows:
        return ["COLLECTED", "No action was run: the events are all there is.", *short]
    columns = ["action", "state", "file", ">size", ">took", "note"]
    return [f"COLLECTED ({_states(actions)})", *text.table(columns, rows), *short]


def _short_of_room(disk: Mapping[str, Any]) -> list[str]:
    """Say what was left out because the disk was short of room, and why that much."""
    left_out = [text.printable(str(name)) for name in disk.get("left_out", ())]
    if not left_out:
        return []
    reserved = text.size(disk.get("reserved_bytes", 0))
    kept_free = text.size(disk.get("min_free_bytes", 0))
    told = (
        f"The disk was short of room: {text.size(disk.get('free_bytes', 0))} free, of which open "
        f"bundles had reserved {reserved} and {kept_free} stay free (min_free_mb). "
        f"Left out: {', '.join(left_out)}."
    )
    return _wrap(told)


def _states(actions: Mapping[str, Mapping[str, Any]]) -> str:
    counts = Counter(str(result.get("state", "?")) for result in actions.values())
    return ", ".join(f"{count} {state}" for state, count in counts.most_common())


def _note(result: Mapping[str, Any]) -> str:
    notes = [str(result["reason"])] if result.get("reason") else []
    if result.get("truncated"):
        notes.append("truncated at its size limit")
    if result.get("state") == "pending":
        notes.append("had not finished")
    if result.get("exit_code"):
        notes.append(f"exit code {result['exit_code']}")
    if result.get("stderr"):
        notes.append(str(result["stderr"]).strip().partition("\n")[0])
    return text.head(text.printable("; ".join(notes)), 60)


def _lost(manifest: Manifest) -> list[str]:
    lost = manifest.get("lost", {})
    if manifest.get("state") != "sealed" and not any(lost.values()):
        return ["LOST", "Nothing that was known when the manifest was last written."]
    counts = {
        "event": lost.get("events", 0),
        "batch of events": lost.get("batches", 0),
        "anomaly report": lost.get("anomalies", 0),
    }
    told = [text.plural(count, what) for what, count in counts.items() if count]
    by_hand = all(each.get("anomaly") == "manual" for each in manifest.get("anomalies", ()))
    tracer = manifest.get("tracer") or {}
    if by_hand and not tracer:
        return ["LOST", "No operations were watched: aod collect has no probes."]
    if by_hand and tracer.get("rung") is None:
        return ["LOST", "No operations were watched: cifs was not loaded."]
    if not told:
        return ["LOST", "Nothing: every slow or failed operation that was seen is counted."]
    return ["LOST", *_wrap(f"Dropped: {', '.join(told)}. All counts above are lower bounds.")]


def _next(manifest: Manifest) -> list[str]:
    lines = ["LOOK AT NEXT"]
    for advice in advise(manifest):
        lines += textwrap.wrap(
            advice, WIDTH, initial_indent="- ", subsequent_indent="  ", break_long_words=False
        )
    return lines


def _place(events: Sequence[Event]) -> str:
    shares = list(Counter(map(share_name, events)))
    if not shares:
        return "an unknown share"
    if len(shares) <= 2:
        return " and ".join(shares)
    return f"{len(shares)} shares (mostly {shares[0]})"


def _mostly(before: str, events: Sequence[Event], name: Callable[[Event], str]) -> str:
    """Name what all or most events have in common; without a majority say so."""
    counts = Counter(map(name, events)).most_common()
    first = f"{before}{counts[0][0]}" if counts else f"{before}unknown"
    if len(counts) < 2:
        return first
    if 2 * counts[0][1] > len(events):
        return f"mostly {first}"
    return f"{first} and {text.plural(len(counts) - 1, 'other')}"


def _listed(events: Sequence[Event], name: Callable[[Event], str]) -> str:
    counts = Counter(map(name, events)).most_common()
    named = [f"{value} {count}" for value, count in counts[:_NAMED]]
    rest = len(counts) - _NAMED
    return ", ".join(named) + (f", and {text.plural(rest, 'other')}" if rest > 0 else "")


def _channels(events: Sequence[Event]) -> str:
    """Tell the channels when a session has several: one alone may be the one with the trouble."""
    channels = {str(event.get("channel") or "") for event in events}
    if channels <= {"", "primary"}:
        return ""
    return _listed(events, lambda event: text.printable(str(event.get("channel") or "unknown")))


def _pairs(rows: Sequence[tuple[str, str]]) -> list[str]:
    lines = []
    for name, value in rows:
        if value:
            indent = f"{name:<12}"
            lines += textwrap.wrap(value, WIDTH, initial_indent=indent, subsequent_indent=" " * 12)
    return lines


def _wrap(sentence: str) -> list[str]:
    return textwrap.wrap(sentence, WIDTH, break_long_words=False)


def _moment(iso: str) -> str:
    return f"{iso[:10]} {iso[11:23]}".strip() or "an unknown time"
