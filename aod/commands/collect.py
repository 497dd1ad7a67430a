"""`aod collect`: a bundle by hand, now."""

import asyncio
import logging
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aod.commands.config import DEFAULT_FILE, File
from aod.errors import BundleError

if TYPE_CHECKING:
    from aod.config import Config
    from aod.incident import Incident

log = logging.getLogger(__name__)


def collect(
    config: File = DEFAULT_FILE,
    reason: Annotated[str, typer.Option(help="Why, as it will stand in the summary.")] = "",
) -> None:
    """Run every action of `watcher.actions` once and keep what it finds in a bundle."""
    from aod.commands.run import watch_children_by_pidfd
    from aod.config import load

    watch_children_by_pidfd()
    typer.echo(asyncio.run(_collect(load(config, os.environ), reason)))


async def _collect(config: "Config", reason: str) -> Path:
    """Return the sealed bundle; raises BundleError when the disk refuses it."""
    from aod.actions.runner import Runner
    from aod.bundle import OutputDirectory
    from aod.detectors.anomaly import Anomaly, AnomalyType
    from aod.incident import Incident, Surroundings, make_context

    manual = Anomaly(
        AnomalyType.MANUAL, "manual", time.monotonic_ns(), time.time_ns(), reason=reason
    )
    surroundings = Surroundings(
        describe=lambda anomaly, offset_ns: [],
        context=lambda raised_wall_ns: make_context(config, raised_wall_ns),
        lost=dict,
    )
    runner = Runner(config.watcher.max_concurrent_tasks)
    incident = Incident(manual, config, runner, surroundings, suppressed=[])
    with await asyncio.to_thread(OutputDirectory.open, config.aod_output_dir) as output:
        _end_early_when_told(incident)
        try:
            await incident.collect(output)
            sealed = output.path / await incident.seal()
        except OSError as error:
            raise BundleError(f"cannot keep a bundle in {output.path}: {error}") from error
    if runner.stuck:
        # A thread that the kernel does not let go of would hold a normal exit.
        typer.echo(sealed)
        os._exit(0)
    return sealed


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
