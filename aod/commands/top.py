"""`aod top`: operations, latency and errors per share and command, refreshed each interval."""

import asyncio
import enum
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from aod.commands.loop import run_until_stopped, watch_until_stopped
from aod.errors import ConfigError

if TYPE_CHECKING:
    from aod.activity.activities import Activities, Activity, TreeNames
    from aod.activity.samples import Sample
    from aod.control import Client
    from aod.smb.filter import Filter
    from aod.tracer.program import Tracer

log = logging.getLogger(__name__)

Show: TypeAlias = "Callable[[Activities], None]"

MIN_INTERVAL_S, MAX_INTERVAL_S = 0.1, 3600.0


class Sort(enum.StrEnum):
    """What stands first."""

    OPERATIONS = "operations"
    P99 = "p99"


@dataclass(frozen=True, slots=True)
class View:
    """How it is shown: how often, how many times (None: until interrupted), what first, where."""

    interval_s: float
    count: int | None
    sort: Sort
    show: Show


@dataclass(frozen=True, slots=True)
class NamedSample:
    """A sample, and what its trees are called."""

    sample: "Sample"
    names: "TreeNames"


def top(
    interval: Annotated[
        float, typer.Option(help="Seconds between two refreshes, 0.1 to 3600.")
    ] = 1.0,
    count: Annotated[
        int | None, typer.Option(min=1, help="End after so many; with --json 1 unless given.")
    ] = None,
    sort: Annotated[Sort, typer.Option(help="What stands first.")] = Sort.OPERATIONS,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object for each interval.")
    ] = False,
) -> None:
    """Show operations, latency and errors per share and command, like nfsiostat for SMB."""
    if not MIN_INTERVAL_S <= interval <= MAX_INTERVAL_S:  # nan passes the option's own bounds
        allowed = f"{MIN_INTERVAL_S:g} to {MAX_INTERVAL_S:g}"
        raise ConfigError([f"--interval: {interval} (allowed: {allowed})"])
    count = 1 if as_json and count is None else count
    if as_json or not sys.stdout.isatty():
        _watch(View(interval, count, sort, _print_json if as_json else _print_text))
        return
    with LiveTable() as live:
        _watch(View(interval, count, sort, live.show))


def _watch(view: View) -> None:
    """Take the samples from the running service, or with probes of our own where none runs."""
    from aod.control import find

    if service := find():
        run_until_stopped(partial(show_samples, ServiceSamples(service), view))
    else:
        watch_until_stopped(_nothing, partial(_top, view))


class ServiceSamples:
    """Takes samples of a service's counters; the first one says whether there are any."""

    def __init__(self, service: "Client") -> None:
        self._service = service
        self._is_first = True

    def __call__(self) -> NamedSample:
        """Return a sample, with the names that the service has; blocks."""
        from aod.control.answers import SampleAnswer

        answer = self._service.ask(SampleAnswer)
        # Only before the table is there: a line would be written into it.
        if self._is_first and not answer.attached:
            log.warning("cifs is not loaded: the service waits for it")
        self._is_first = False
        return NamedSample(answer.sample(), answer.names())


class TracerSamples:
    """Takes samples of a tracer's counters, and looks up the names."""

    def __init__(self, tracer: "Tracer") -> None:
        from aod.smb.names import Names

        self._tracer = tracer
        self._names = Names()

    def __call__(self) -> NamedSample:
        """Return a sample; blocks."""
        from aod.tracer.sampling import sample

        taken = sample(self._tracer)
        # After the sample, so that what it holds has a name.
        self._names.refresh()
        return NamedSample(taken, self._names)


def _nothing() -> "Filter":
    """Return what is to go through the ring: the counters in the kernel are all that is needed."""
    from aod.smb.filter import Filter

    return Filter()


async def _top(view: View, tracer: "Tracer", stop: asyncio.Event) -> None:
    await show_samples(TracerSamples(tracer), view, stop)


async def show_samples(take: Callable[[], NamedSample], view: View, stop: asyncio.Event) -> None:
    """Show what lies between samples until `stop` is set or enough were shown; `take` blocks."""
    loop = asyncio.get_running_loop()
    before, due_s, shown = await asyncio.to_thread(take), loop.time(), 0
    while view.count is None or shown < view.count:
        due_s = max(due_s + view.interval_s, loop.time())
        try:
            async with asyncio.timeout_at(due_s):
                await stop.wait()
            return
        except TimeoutError:
            after = await asyncio.to_thread(take)
        view.show(await asyncio.to_thread(_snapshot, before.sample, after, view.sort))
        before, shown = after, shown + 1


def _snapshot(before: "Sample", taken: NamedSample, sort: Sort) -> "Activities":
    from aod.activity.activities import Activities, activity, total
    from aod.clock import iso, wall_offset_ns

    def rank(each: "Activity") -> tuple[int, int, str, str, str]:
        slowness = -each.p99_ns if sort is Sort.P99 else 0
        return slowness, -each.operations, each.server, each.share, each.command

    after = taken.sample
    return Activities(
        time=iso(after.time_ns + wall_offset_ns()),
        interval_s=(after.time_ns - before.time_ns) / 1e9,
        activities=sorted(activity(before, after, taken.names), key=rank),
        total=total(before, after),
    )


def _print_json(activities: "Activities") -> None:
    from aod.report.activity import as_json

    print(as_json(activities), flush=True)


def _print_text(activities: "Activities") -> None:
    from aod.report.activity import as_text

    print(as_text(activities), flush=True)


class LiveTable:
    """A table on the terminal that is drawn anew, from when there is one; a context manager."""

    def __init__(self) -> None:
        from rich.live import Live

        self._live = Live(auto_refresh=False)

    def __enter__(self) -> "LiveTable":
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, activities: "Activities") -> None:
        """Draw it in the place of the one before."""
        from aod.report.activity import as_table

        self._live.start()  # nothing when it has been
        room = max(1, self._live.console.height - 6)
        self._live.update(as_table(activities, room), refresh=True)
