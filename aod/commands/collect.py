"""`aod collect`: a bundle by hand, now."""

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
    from aod.detectors.anomaly import Anomaly
    from aod.incident import Incident, Surroundings

log = logging.getLogger(__name__)


def collect(
    config: File = DEFAULT_FILE,
    reason: Annotated[str, typer.Option(help="Why, as it will stand in the summary.")] = "",
) -> None:
    """Run every action of `watcher.actions` once and keep what it finds in a bundle."""
    from aod.commands.run import watch_children_by_pidfd
    from aod.config import load
    from aod.detectors.anomaly import Anomaly, AnomalyType
    from aod.incident import Surroundings, make_context

    loaded = load(config, os.environ, guarded=True)
    manual = Anomaly(
        AnomalyType.MANUAL, "manual", time.monotonic_ns(), time.time_ns(), reason=reason
    )
    surroundings = Surroundings(
        describe=lambda anomaly, offset_ns: [],
        context=lambda raised_wall_ns: make_context(loaded, raised_wall_ns),
        lost=dict,
    )
    watch_children_by_pidfd()
    asyncio.run(keep(manual, loaded, surroundings, typer.echo))


async def keep(
    anomaly: "Anomaly",
    config: "Config",
    surroundings: "Surroundings",
    tell: Callable[[Path], object],
) -> None:
    """Make a bundle of an anomaly, beside a service too, and `tell` where it is.

    `tell` is called in a thread. Raises BundleError when the disk refuses the bundle.
    """
    from aod.actions.runner import Runner
    from aod.bundle import OutputDirectory
    from aod.incident import Incident

    runner = Runner(config.watcher.max_concurrent_tasks)
    incident = Incident(anomaly, config, runner, surroundings, suppressed=[])
    with await asyncio.to_thread(OutputDirectory.open, config.aod_output_dir) as output:
        _end_early_when_told(incident)
        try:
            await incident.collect(output)
            sealed = output.path / await incident.seal()
        except OSError as error:
            raise BundleError(f"cannot keep a bundle in {output.path}: {error}") from error
    await asyncio.to_thread(tell, sealed)
    if runner.stuck:
        # A thread that the kernel does not let go of would hold a normal exit.
        os._exit(0)


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
