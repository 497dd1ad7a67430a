"""summary.txt: what a person reads first, made from nothing but the manifest."""

import textwrap
from collections.abc import Iterable, Sequence

from aod import text
from aod.bundle.manifest import ActionResult, Manifest, Operation, Suppressed
from aod.detectors.words import words_of
from aod.report.advice import advise
from aod.report.collecting import lost, note, short_of_room, states
from aod.report.figures import Chosen, Figures, Row, Stack, figures
from aod.report.operations import UNKNOWN_SHARE, command, file, outcome, share_name
from aod.report.sentences import about, sentence
from aod.report.wording import clock, moment

WIDTH = 118

_ENTRIES = 10
"""Of a kernel stack; the rest is how the system call came in, and stands in the manifest."""

_STATES = {
    "collecting": "Not complete: it is still being collected.",
    "interrupted": "Not complete: aod ended, or the disk refused, before all was collected.",
}


def render(manifest: Manifest) -> str:
    """Return the text of summary.txt for a manifest in any state."""
    shown = [each for anomaly in manifest.anomalies if (each := figures(anomaly))]
    parts = [
        _heading(manifest),
        *map(_figures, shown),
        _suppressed(manifest.suppressed_since_last),
        _collected(manifest),
        ["LOST", *_wrap(lost(manifest))],
        _next(manifest),
    ]
    lines = "\n\n".join("\n".join(part) for part in parts if part).split("\n")
    # Once more over all: a manifest may come from elsewhere.
    return "\n".join(text.printable(line) for line in lines) + "\n"


def suppressed_table(suppressed: Sequence[Suppressed]) -> list[str]:
    """Return what was held back as lines of text."""
    rows = [
        [
            text.printable(each.name),
            str(each.count),
            moment(each.first),
            moment(each.last),
            text.duration(each.worst_latency_ns),
        ]
        for each in suppressed
    ]
    return text.table(["anomaly", ">times", "first", "last", ">worst"], rows)


def _heading(manifest: Manifest) -> list[str]:
    lines = [f"aod_{manifest.timestamp:019d} ({manifest.state})", ""]
    for anomaly in manifest.anomalies:
        lines += _wrap(sentence(anomaly))
        # The sentence of what somebody asked for has the reason.
        if anomaly.reason and words_of(anomaly.anomaly).sort != "asked":
            lines += _wrap(f"Note: {text.printable(anomaly.reason)}.")
    if manifest.state in _STATES:
        lines += _wrap(_STATES[manifest.state])
    return [*lines, "", *_wrap(about(manifest))]


def _figures(shown: Figures) -> list[str]:
    lines = [shown.title, *_pairs(shown.rows)]
    if shown.chosen:
        lines += ["", *_chosen(shown.chosen)]
    if shown.stack:
        lines += ["", *_stack(shown.stack)]
    return lines


def _chosen(shown: Chosen) -> list[str]:
    return [
        f"{shown.title}:",
        *_operation_table(shown.operations, with_share=not shown.are_on_one_share),
    ]


def _operation_table(operations: Sequence[Operation], *, with_share: bool) -> list[str]:
    columns = [
        "time", "command", ">latency", ">queue", ">server", ">payload", "status",
        *(["share"] if with_share else []), ">pid", "comm", "file",
    ]  # fmt: skip
    rows = [_cells(operation, with_share=with_share) for operation in operations]
    fixed = sum(max(map(len, cells)) + 2 for cells in zip(columns, *rows, strict=True))
    longest = max(len(row[-1]) for row in rows)
    left = max(WIDTH - fixed + max(longest, len("file")) + 2, 12)
    return text.table(columns, [[*row[:-1], text.tail(row[-1], left)] for row in rows])


def _cells(operation: Operation, *, with_share: bool) -> list[str]:
    return [
        clock(operation.time),
        command(operation).removeprefix("SMB2_"),
        text.duration(operation.latency_ns),
        text.duration(operation.queue_ns),
        text.duration(operation.server_ns),
        text.duration(operation.payload_ns),
        text.head(outcome(operation).removeprefix("STATUS_"), 22),
        *([_short_share(operation)] if with_share else []),
        str(operation.pid),
        text.printable(operation.comm),
        file(operation),
    ]


def _short_share(operation: Operation) -> str:
    share = share_name(operation)
    return "-" if share == UNKNOWN_SHARE else text.tail(share.lstrip("/"), 16)


def _stack(stack: Stack) -> list[str]:
    shown = [f"  {text.head(entry, WIDTH - 2)}" for entry in stack.entries[:_ENTRIES]]
    rest = len(stack.entries) - _ENTRIES
    return [f"{stack.title}:", *shown, *([f"  and {rest} more"] if rest > 0 else [])]


def _suppressed(suppressed: Sequence[Suppressed]) -> list[str]:
    if not suppressed:
        return []
    title = "COUNTED ONLY (raised since the bundle before this one, in a cooldown)"
    return [title, *suppressed_table(suppressed)]


def _collected(manifest: Manifest) -> list[str]:
    short = _wrap(short_of_room(manifest.disk))
    if not manifest.actions:
        return ["COLLECTED", "No action was run: the events are all there is.", *short]
    results = sorted(manifest.actions.items(), key=lambda item: item[1].state != "ok")
    rows = [_result(name, result) for name, result in results]
    columns = ["action", "state", "file", ">size", ">took", "note"]
    return [f"COLLECTED ({states(manifest)})", *text.table(columns, rows), *short]


def _result(name: str, result: ActionResult) -> list[str]:
    return [
        name,
        result.state,
        result.file or "-",
        text.size(result.bytes) if result.bytes else "-",
        text.duration(result.duration_s * 1e9) if result.duration_s else "-",
        text.head(note(result), 60),
    ]


def _next(manifest: Manifest) -> list[str]:
    lines = ["LOOK AT NEXT"]
    for advice in advise(manifest):
        lines += textwrap.wrap(
            advice, WIDTH, initial_indent="- ", subsequent_indent="  ", break_long_words=False
        )
    return lines


def _pairs(rows: Iterable[Row]) -> list[str]:
    lines = []
    for name, value in rows:
        indent = f"{name:<12}"
        lines += textwrap.wrap(value, WIDTH, initial_indent=indent, subsequent_indent=" " * 12)
    return lines


def _wrap(sentence: str) -> list[str]:
    return textwrap.wrap(sentence, WIDTH, break_long_words=False)
