"""`aod doctor`: whether aod works here, and why not."""

import asyncio
import json
import os
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aod.commands.bundle import keep
from aod.commands.loop import run_until_done, watch_children_by_pidfd, watch_until_stopped
from aod.commands.options import DEFAULT_FILE
from aod.errors import ConfigError

if TYPE_CHECKING:
    from aod.tracer.program import Tracer

MAX_SECONDS = 86_400


def doctor(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help=f"The config file (default: {DEFAULT_FILE})."
        ),
    ] = None,
    hide: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Take a function or tracepoint for missing, or `types`; may be given again.",
        ),
    ] = None,
    ledger: Annotated[
        bool, typer.Option("--ledger", help="Tell whether every request is accounted for.")
    ] = False,
    seconds: Annotated[
        float, typer.Option(min=0, max=MAX_SECONDS, help="How long --ledger counts.")
    ] = 10.0,
    fire: Annotated[
        bool,
        typer.Option("--fire", help="Make a bundle of a made-up anomaly, to see that it works."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell whether aod can watch here, what stands in the way, and what each probe adds.

    Exit code 0 when it can; with --ledger when the books are closed.
    """
    if fire and (ledger or hide):
        raise ConfigError(["--fire goes with neither --ledger nor --hide"])
    if fire:
        _fire(config or DEFAULT_FILE, as_json)
    elif ledger:
        _ledger(seconds, hide or [], as_json)
    else:
        _report(config, hide or [], as_json)


def _report(config: Path | None, hidden: list[str], as_json: bool) -> None:
    from aod.doctor.report import examine

    report = examine(config or DEFAULT_FILE, os.environ, config is not None, hidden)
    typer.echo(json.dumps(report.as_dict(), indent=1) if as_json else "\n".join(report.lines()))
    raise typer.Exit(0 if report.can_watch else 1)


def _ledger(seconds: float, hidden: list[str], as_json: bool) -> None:
    from aod.doctor import ledger
    from aod.smb.filter import Filter

    kept: list[ledger.LedgerReport] = []
    is_beside_service = _service_runs()

    async def watch(tracer: "Tracer", stop: asyncio.Event) -> None:
        if not as_json:
            own = "with probes of this command, " if is_beside_service else ""
            typer.echo(f"counting {own}for {seconds:g} s, Ctrl-C ends it earlier", err=True)
        kept.append(await ledger.watch(tracer, seconds, stop))

    watch_until_stopped(Filter, watch, hidden)
    (found,) = kept
    typer.echo(json.dumps(found.as_dict(), indent=1) if as_json else "\n".join(found.lines()))
    raise typer.Exit(0 if found.ledger.is_closed else 1)


def _service_runs() -> bool:
    from aod.control import find
    from aod.errors import ServiceError

    try:
        return find() is not None
    except ServiceError:  # what it says does not matter here
        return False


def _fire(config: Path, as_json: bool) -> None:
    from aod.doctor.fire import require

    require()
    watch_children_by_pidfd()
    run_until_done(partial(_fire_and_keep, config, as_json))


async def _fire_and_keep(config: Path, as_json: bool) -> None:
    from aod.config import load
    from aod.doctor.fire import fire

    loaded = await asyncio.to_thread(partial(load, config, os.environ, guarded=True))
    shot = await fire(loaded)
    await keep(shot.anomaly, loaded, shot.evidence, partial(_print_sealed, as_json))


def _print_sealed(as_json: bool, sealed: Path) -> None:
    """Print what the sealed bundle holds: that it can be read is part of the proof."""
    from aod.bundle import read_manifest
    from aod.text import printable, table

    manifest = read_manifest(sealed)
    if as_json:
        actions = {name: asdict(found) for name, found in manifest.actions.items()}
        fields = {"bundle": str(sealed), "trigger": manifest.trigger, "actions": actions}
        typer.echo(json.dumps(fields, indent=1))
        return
    rows = [(name, found.state, found.reason) for name, found in manifest.actions.items()]
    typer.echo("\n".join(map(printable, table(("action", "state", "note"), rows))))
    typer.echo(f"the anomaly {manifest.trigger} was raised, and kept in:\n{sealed}")
