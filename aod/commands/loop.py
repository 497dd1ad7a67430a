"""What several commands run on the event loop, and how they are ended."""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Collection, Coroutine
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from aod.errors import AodError, HostError

if TYPE_CHECKING:
    from aod.smb.filter import Filter
    from aod.tracer.program import Tracer

log = logging.getLogger(__name__)

Work: TypeAlias = Callable[[asyncio.Event], Coroutine[None, None, None]]
Watch: TypeAlias = "Callable[[Tracer, asyncio.Event], Coroutine[None, None, None]]"


def watch_until_stopped(
    wanted: "Callable[[], Filter]", watch: Watch, hidden: Collection[str] = ()
) -> None:
    """Run `watch` with a tracer that sends what is `wanted`; SIGINT and SIGTERM set its event.

    What is `hidden` the kernel is taken not to have, see aod.tracer.ladder. Raises
    HostError where the machine does not offer what that takes.
    """
    from aod.tracer import needs

    needs.require()
    run_until_stopped(partial(_with_tracer, wanted, watch, hidden))


def run_until_stopped(work: Work) -> None:
    """Run `work` with an event that SIGINT and SIGTERM set."""
    run_until_done(partial(_with_signals, work))


def run_until_done(work: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run `work`; of a group of failures the first one is raised."""
    try:
        asyncio.run(work())
    except BaseExceptionGroup as failures:
        raise first_failure(failures) from failures


async def _with_signals(work: Work) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await work(stop)


async def _with_tracer(
    wanted: "Callable[[], Filter]", watch: Watch, hidden: Collection[str], stop: asyncio.Event
) -> None:
    from aod.tracer.ladder import climb

    with await asyncio.to_thread(climb, wanted(), hidden=hidden) as tracer:
        await watch(tracer, stop)


def first_failure(failure: BaseException) -> AodError | BrokenPipeError:
    """Return what to report: what main knows as it is, anything else with its trace in the log."""
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    if isinstance(failure, AodError | BrokenPipeError):
        return failure
    log.error("a component failed", exc_info=failure)
    return HostError(f"ended by a failure in aod itself: {failure!r} (please report it)")


def watch_children_by_pidfd() -> None:
    """Have the ends of children signalled by descriptors, not by a thread for each."""
    if sys.version_info < (3, 12):  # from then on it is the default
        asyncio.set_child_watcher(asyncio.PidfdChildWatcher())
