"""`aod collect`: a bundle by hand, now, from the running service where there is one."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aod.commands.config import DEFAULT_FILE, File
from aod.errors import BundleError

if TYPE_CHECKING:
    from aod.config import Config
    from aod.control import Client
    from aod.detectors.anomaly import Anomaly
    from aod.incidents.evidence import Evidence
    from aod.incidents.incident import Incident

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
        told = "aod: the config has problems (aod config check): the running service collects"
        typer.echo(told, err=True)
        typer.echo(_ask(service, reason))
        return
    if service and _keeps_in(service, loaded.aod_output_dir):
        typer.echo(_ask(service, reason))
        return
    _collect_here(loaded, reason)


def _keeps_in(service: "Client", output: Path) -> bool:
    """Return whether the running service keeps its bundles in this directory."""
    try:
        is_same = output.samefile(service.status["output"])
    except OSError:  # one of them is not there (any more)
        is_same = False
    if not is_same:
        log.info("the running service keeps its bundles in %s", service.status["output"])
    return is_same


def _ask(service: "Client", reason: str) -> str:
    try:
        return str(service.ask("collect", reason=reason)["bundle"])
    except KeyboardInterrupt:
        typer.echo("aod: the service goes on collecting (see: aod list)", err=True)
        raise typer.Exit(INTERRUPTED) from None


def _collect_here(loaded: "Config", reason: str) -> None:
    from aod.commands.run import watch_children_by_pidfd
    from aod.detectors.anomaly import Anomaly, AnomalyType
    from aod.incidents.evidence import Evidence
    from aod.incidents.unwatched import Lost, NoDetection, NoTracer
    from aod.smb.names import Names

    manual = Anomaly(
        AnomalyType.MANUAL, "manual", time.monotonic_ns(), time.time_ns(), reason=reason
    )
    evidence = Evidence(Names(), NoTracer(), NoDetection(), Lost({}))
    watch_children_by_pidfd()
    asyncio.run(keep(manual, loaded, evidence, typer.echo))


async def keep(
    anomaly: "Anomaly",
    config: "Config",
    evidence: "Evidence",
    tell: Callable[[Path], object],
) -> None:
    """Make a bundle of an anomaly, beside a service too, and `tell` where it is.

    `tell` is called in a thread. Raises BundleError when the disk refuses the bundle.
    """
    from aod.actions.runner import Runner
    from aod.bundle import OutputDirectory
    from aod.incidents.incident import Incident
    from aod.processes.children import Children
    from aod.runtime.audit import Audit
    from aod.tracer.own import OwnProcesses

    with await asyncio.to_thread(OutputDirectory.open, config.aod_output_dir) as output:
        children = Children(OwnProcesses(), Audit(output.fd, enabled=False))
        runner = Runner(config.watcher.max_concurrent_tasks, children, _Unwatched())
        incident = Incident(anomaly, config, runner, evidence, suppressed=[])
        _end_early_when_told(incident)
        try:
            await incident.collect(output)
            sealed = output.path / await incident.seal()
        except OSError as error:
            raise BundleError(f"cannot keep a bundle in {output.path}: {error}") from error
    await asyncio.to_thread(tell, sealed)
    if children.stuck.now:
        # A thread that the kernel does not let go of would hold a normal exit.
        os._exit(0)


class _Unwatched:
    """Nothing speaks against asking a server: no tracer of ours knows what it has not answered."""

    def objection(self, server: str) -> str | None:
        """Return nothing."""
        return None


def _end_early_when_told(incident: "Incident") -> None:
    """On Ctrl-C or SIGTERM keep what there is; the second time, end at once."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    loop = asyncio.get_running_loop()

    def end(number: int) -> None:
        for each in numbers:
            loop.remove_signal_handler(each)
        log.warning("cut off by %s: what is collected so far is kept", signal.strsignal(number))
        incident.hurry(0.0)

    for number in numbers:
        loop.add_signal_handler(number, end, number)
