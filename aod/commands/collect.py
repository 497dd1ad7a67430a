"""`aod collect`: a bundle by hand, now, from the running service where there is one."""

import logging
import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aod.commands.bundle import keep
from aod.commands.loop import run_until_done, watch_children_by_pidfd
from aod.commands.options import DEFAULT_FILE, File

if TYPE_CHECKING:
    from aod.config import Config
    from aod.control import Client

log = logging.getLogger(__name__)

INTERRUPTED = 128 + signal.SIGINT


def collect(
    config: File = DEFAULT_FILE,
    reason: Annotated[str, typer.Option(help="Why, as it will stand in the summary.")] = "",
) -> None:
    """Run every action of `watcher.actions` once and keep what it finds in a bundle.

    A service that uses the same directory makes it, with the requests that are open now.
    """
    from aod.config import is_there, load
    from aod.control import find
    from aod.errors import ConfigError

    service = find()
    try:
        loaded = load(config, os.environ, guarded=True)
    except ConfigError:
        # The service works by the config that it has taken over, however bad the file is now.
        if not service or not (is_there(config) or config == DEFAULT_FILE):
            raise
        warning = "aod: the config has problems (aod config check): the running service collects"
        typer.echo(warning, err=True)
        typer.echo(_ask(service, reason))
        return
    if service and _keeps_in(service, loaded.aod_output_dir):
        typer.echo(_ask(service, reason))
        return
    _collect_here(loaded, reason)


def _keeps_in(service: "Client", output: Path) -> bool:
    """Return whether the running service keeps its bundles in this directory."""
    try:
        is_same = output.samefile(service.status.output)
    except OSError:  # one of them is not there (any more)
        is_same = False
    if not is_same:
        log.info("the running service keeps its bundles in %s", service.status.output)
    return is_same


def _ask(service: "Client", reason: str) -> str:
    from aod.control.answers import CollectAnswer

    try:
        return service.ask(CollectAnswer, reason=reason).bundle
    except KeyboardInterrupt:
        typer.echo("aod: the service goes on collecting (see: aod list)", err=True)
        raise typer.Exit(INTERRUPTED) from None


def _collect_here(loaded: "Config", reason: str) -> None:
    from aod.detectors.anomaly import Anomaly, AnomalyType
    from aod.incidents.evidence import Evidence
    from aod.incidents.unwatched import Lost, NoDetection, NoTracer
    from aod.smb.names import Names

    manual = Anomaly(
        AnomalyType.MANUAL, "manual", time.monotonic_ns(), time.time_ns(), reason=reason
    )
    evidence = Evidence(Names(), NoTracer(), NoDetection(), Lost({}))
    watch_children_by_pidfd()
    run_until_done(partial(keep, manual, loaded, evidence, typer.echo))
