"""`aod trace`: a line per slow or failed operation, as it happens."""

import asyncio
import json
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from aod.commands.loop import watch_until_stopped
from aod.detectors import MAX_THRESHOLD_MS
from aod.errors import ConfigError, HostError

if TYPE_CHECKING:
    from aod.bundle.manifest import Operation
    from aod.events import Events
    from aod.runtime.queue import Queue
    from aod.smb.filter import Filter
    from aod.smb.names import Names
    from aod.tracer.program import Tracer

BATCHES = 256
"""Batches of at most 2048 events that may wait to be printed."""
BEHIND = 16
"""Waiting batches from which on names are looked up sparingly, so as not to lose lines."""
LAST_LINES_S = 5.0
"""For printing, after the end was asked for, what was seen before."""
HEADER = (
    f"{'TIME':<15} {'COMMAND':<20} {'LATENCY(ms)':>11} {'QUEUE':>8} {'SERVER':>8} "
    f"{'STATUS':<30} {'SHARE':<24} {'PID':>7} {'COMM':<15} FILE"
)


def trace(
    threshold_ms: Annotated[
        float, typer.Option(help="Show operations that took so long; 0 shows all.")
    ] = 200.0,
    errors: Annotated[bool, typer.Option(help="Show failed operations too.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False,
) -> None:
    """Print slow and failed SMB operations until interrupted."""
    if not 0 <= threshold_ms <= MAX_THRESHOLD_MS:  # nan passes the option's own bounds
        raise ConfigError([f"--threshold-ms: {threshold_ms} (allowed: 0 to {MAX_THRESHOLD_MS})"])
    watch_until_stopped(partial(_filter, threshold_ms, errors), partial(_trace, as_json))


async def _trace(as_json: bool, tracer: "Tracer", stop: asyncio.Event) -> None:
    from aod.events import Count
    from aod.runtime.queue import Queue
    from aod.smb.names import Names

    names = Names()
    batches = Queue["Events"](BATCHES)
    await asyncio.to_thread(_warm_up, names)
    if not as_json:
        typer.echo(HEADER)
    async with asyncio.TaskGroup() as group:
        ring = group.create_task(tracer.ring.watch(batches.send), name="ring")
        printing = group.create_task(_print_all(batches, names, as_json), name="printing")
        await stop.wait()
        ring.cancel()
        batches.close()
        await asyncio.wait([printing], timeout=LAST_LINES_S)
        printing.cancel()
    if lost := tracer.counts()[Count.LOST]:
        typer.echo(f"lost {lost} events: the ring was full", err=True)
    if batches.dropped:
        typer.echo(f"lost {batches.dropped} batches of events: printing was too slow", err=True)


def _warm_up(names: "Names") -> None:
    from aod import smb

    names.refresh()
    smb.statuses()  # read here, not at the first event


def _filter(threshold_ms: float, errors: bool) -> "Filter":
    """Return what is slow by `threshold_ms`, and what fails but for the quiet statuses.

    With failures come lost connections and sessions, and operations without a request.
    """
    import numpy as np

    from aod import smb
    from aod.events import COMMANDS, ERRNOS, Kind
    from aod.smb.filter import ALL_COMMANDS, Filter, quiet_commands, status_verdict

    slow = Filter(np.full((2, COMMANDS), round(threshold_ms * 1e6), np.uint64))
    if not errors:
        return slow
    quiet = {status: ALL_COMMANDS - quiet_commands(status) for status in smb.QUIET}
    failed = Filter(
        statuses=status_verdict(True, quiet),
        kinds=frozenset({Kind.UNSENT, Kind.RECONNECT, Kind.SESSION_EXPIRED}),
        errors=~np.isin(np.arange(ERRNOS), [0, *smb.QUIET_ERRORS]),
        secondary=True,
    )
    return slow | failed


async def _print_all(batches: "Queue[Events]", names: "Names", as_json: bool) -> None:
    async for events in batches:
        is_behind = batches.waiting > BEHIND
        await asyncio.to_thread(names.look_up, events, sparing=is_behind)
        _print(events, names, as_json)


def _print(events: "Events", names: "Names", as_json: bool) -> None:
    from aod.bundle.describe import describe_events
    from aod.bundle.manifest import row
    from aod.clock import wall_offset_ns

    try:
        for operation in describe_events(events, None, names, wall_offset_ns()):
            typer.echo(json.dumps(row(operation)) if as_json else _line(operation))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise HostError(f"cannot write to stdout: {error.strerror}") from error


def _line(operation: "Operation") -> str:
    from aod import text
    from aod.report.operations import command, outcome
    from aod.smb.paths import share_path

    share = share_path(operation.server, operation.share)
    connection = operation.connection_id if operation.kind != "unsent" else "-"
    name = command(operation).removeprefix("SMB2_")
    line = (
        f"{operation.time[11:26]:<15} {name:<20} "
        f"{operation.latency_ns / 1e6:>11.3f} {operation.queue_ns / 1e6:>8.3f} "
        f"{operation.server_ns / 1e6:>8.3f} {outcome(operation):<30} "
        f"{share or connection:<24} {operation.pid:>7} {operation.comm:<15} {operation.file}"
    )
    return text.printable(line).rstrip()  # names come from any user
