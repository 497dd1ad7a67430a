"""A bundle that a command makes itself, without a service."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from aod.errors import BundleError

if TYPE_CHECKING:
    from aod.config import Config
    from aod.detectors.anomaly import Anomaly
    from aod.incidents.evidence import Evidence
    from aod.incidents.incident import Incident

log = logging.getLogger(__name__)


async def keep(
    anomaly: "Anomaly",
    config: "Config",
    evidence: "Evidence",
    report: Callable[[Path], object],
) -> None:
    """Make a bundle of an anomaly, beside a service too, and `report` where it is.

    `report` is called in a thread. Raises BundleError when the disk refuses the bundle.
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
        _end_early_on_signal(incident)
        try:
            await incident.collect(output)
            sealed = output.path / await incident.seal()
        except OSError as error:
            raise BundleError(f"cannot keep a bundle in {output.path}: {error}") from error
    await asyncio.to_thread(report, sealed)
    if children.stuck.now:
        # A thread that the kernel does not let go of would hold a normal exit.
        os._exit(0)


class _Unwatched:
    """Nothing speaks against asking a server: no tracer of ours knows what it has not answered."""

    def objection(self, server: str) -> str | None:
        """Return nothing."""
        return None


def _end_early_on_signal(incident: "Incident") -> None:
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
