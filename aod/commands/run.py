"""`aod run`: the service."""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from aod.commands.config import DEFAULT_FILE, File
from aod.errors import AodError, SurroundingsError

if TYPE_CHECKING:
    from aod.config import Config

log = logging.getLogger(__name__)


def run(config: File = DEFAULT_FILE) -> None:
    """Watch the SMB mounts, and keep a bundle of evidence when something goes wrong."""
    from aod.config import load_with_sources
    from aod.tracer import needs

    loaded = load_with_sources(config, os.environ)
    for warning in loaded.warnings():
        log.warning("%s", warning)
    needs.require_for_service()
    watch_children_by_pidfd()
    try:
        asyncio.run(_serve(loaded.config, config))
    except BaseExceptionGroup as failures:
        raise told(failures) from failures


def watch_children_by_pidfd() -> None:
    """Have the ends of children told by descriptors, not by a thread for each."""
    if sys.version_info < (3, 12):  # from then on it is the default
        asyncio.set_child_watcher(asyncio.PidfdChildWatcher())


async def _serve(config: "Config", file: Path) -> None:
    from aod.service import serve

    log.info("starting config=%s", file)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, stop, number)
    await serve(config, stop)


def _stop(stop: asyncio.Event, number: int) -> None:
    """Ask for a clean end; the second time, end at once."""
    if stop.is_set():
        os._exit(128 + number)
    stop.set()


def told(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first failure to tell: one that main knows as it is, any other with its trace."""
    failure: BaseException = failures
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    if isinstance(failure, AodError | BrokenPipeError):
        return failure
    log.error("a stage failed", exc_info=failure)
    return SurroundingsError(f"ended by a failure in aod itself: {failure!r} (please report it)")
