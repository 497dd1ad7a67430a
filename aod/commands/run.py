"""`aod run`: the service."""

import asyncio
import logging
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from aod.commands.loop import first_failure, watch_children_by_pidfd
from aod.commands.options import DEFAULT_FILE, File
from aod.errors import AodError, print_error

if TYPE_CHECKING:
    from aod.config import Config

log = logging.getLogger(__name__)

THREADS = 32
"""Some may be stuck in the kernel, each on a file of its own; the others go on working."""


def run(config: File = DEFAULT_FILE) -> None:
    """Watch the SMB mounts, and keep a bundle of evidence when something goes wrong."""
    from aod.runtime import memory
    from aod.tracer import needs, privileges

    memory.settle()
    privileges.hold_back()
    first = _load(config)
    needs.require_for_service()
    watch_children_by_pidfd()
    with asyncio.Runner() as runner:
        try:
            runner.run(_serve(first, config))
        except Exception as failure:
            error = first_failure(failure)
            if isinstance(error, AodError):
                print_error(error)
            _leave(1 if isinstance(error, BrokenPipeError) else error.exit_code)
        _leave(0)


def _leave(code: int) -> NoReturn:
    """End without waiting for threads: one may be stuck in the kernel for ever."""
    logging.shutdown()
    os._exit(code)


def _load(file: Path) -> "Config":
    from aod.config import load_with_sources

    loaded = load_with_sources(file, os.environ, guarded=True)
    for warning in loaded.warnings():
        log.warning("%s", warning)
    return loaded.config


async def _serve(config: "Config", file: Path) -> None:
    from aod.service.serve import serve
    from aod.service.signals import Signals

    log.info("starting config=%s", file)
    signals = Signals()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(THREADS, "aod"))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, signals.stop, number)
    loop.add_signal_handler(signal.SIGHUP, signals.reload.set)
    loop.add_signal_handler(signal.SIGUSR1, signals.collect.set)
    await serve(config, signals, partial(_load, file))


def _stop(stop: asyncio.Event, number: int) -> None:
    """Ask for a clean end; the second time, end at once."""
    if stop.is_set():
        os._exit(128 + number)
    stop.set()
