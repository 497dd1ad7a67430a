"""Runs actions, at most so many at once over all incidents, each on its own."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from aod.actions import NAMES
from aod.actions.action import Abandoned, Action, ActionResult, Context, Outcome, Skip
from aod.actions.output import Files, Output
from aod.processes.stuck import Stuck

log = logging.getLogger(__name__)

LAST_RESORT_S = 10.0
"""Beyond its own deadline an action needs at most 5 s to end its child and pipes."""


def _unheard(result: ActionResult) -> None:
    pass


class Runner:
    """Gives every action a slot, a file and a deadline, and turns what happens into results.

    One runner serves all incidents. Whatever one action does is its own result; it never
    touches the others.
    """

    def __init__(self, max_concurrent_tasks: int) -> None:
        self._slots = asyncio.Semaphore(max_concurrent_tasks)
        self._stuck = Stuck()

    def change_limit(self, max_concurrent_tasks: int) -> None:
        """Let so many run at once from the next incident on: one has all the slots."""
        self._slots = asyncio.Semaphore(max_concurrent_tasks)

    @property
    def stuck(self) -> int:
        """Children and threads that the kernel does not let go of at this moment."""
        return self._stuck.now

    @property
    def stuck_total(self) -> int:
        """Children and threads that were ever left behind."""
        return self._stuck.total

    async def run(
        self,
        actions: Sequence[Action],
        context: Context,
        files: Files,
        on_result: Callable[[ActionResult], None] = _unheard,
    ) -> tuple[ActionResult, ...]:
        """Run the actions and return their results in the order in which they started.

        They start in the order of the table, third-party ones last. `on_result` is called with
        each result as it is there; on cancellation also with those that were cut off, after
        their children were ended (4 s), before CancelledError is raised.
        """
        context = replace(context, stuck=self._stuck)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(
                    self._run_one(action, context, files, on_result), name=f"action {action.name}"
                )
                for action in sorted(actions, key=_place)
            ]
        return tuple(task.result() for task in tasks)

    async def _run_one(
        self,
        action: Action,
        context: Context,
        files: Files,
        on_result: Callable[[ActionResult], None],
    ) -> ActionResult:
        output = Output(files, action.file_name, context.max_bytes)
        started: tuple[int, float] | None = None
        outcome = Outcome("cancelled", "aod ended before it was started")
        try:
            async with self._slots:
                started = (time.time_ns(), time.monotonic())
                outcome = Outcome("cancelled", "aod ended while it ran")
                outcome = await _collect(action, context, output)
        finally:
            try:
                await output.close()
            finally:
                result = _result(action, outcome, output, started)
                on_result(result)
        return result


async def _collect(action: Action, context: Context, output: Output) -> Outcome:
    """Run one action: the boundary at which whatever goes wrong becomes its outcome."""
    limit_s = context.timeout_s + context.post_trigger_s + LAST_RESORT_S
    try:
        async with asyncio.timeout(limit_s):
            return await action.collect(context, output)
    except Skip as skip:
        return Outcome("skipped", str(skip))
    except Abandoned as abandoned:
        return Outcome("abandoned", str(abandoned))
    except TimeoutError as error:
        return Outcome("timeout", str(error) or f"it did not end within {limit_s:g} s")
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        where = f" ({error.filename})" if error.filename else ""
        return Outcome("failed", f"{reason}{where}")
    except Exception as error:
        log.exception("action failed unexpectedly action=%s", action.name)
        return Outcome("failed", f"{type(error).__name__}: {error}")


def _result(
    action: Action, outcome: Outcome, output: Output, started: tuple[int, float] | None
) -> ActionResult:
    wall_ns, monotonic_s = started or (0, time.monotonic())
    state, reason = outcome.state, outcome.reason
    if output.failure and state == "ok":
        state, reason = "failed", output.failure
    elif state == "ok" and output.file is None and not reason:
        reason = "it was empty"
    return ActionResult(
        name=action.name,
        state=state,
        reason=reason,
        file=output.file,
        bytes=output.bytes,
        truncated=output.truncated,
        exit_code=outcome.exit_code,
        stderr=outcome.stderr,
        started_wall_ns=wall_ns,
        duration_s=time.monotonic() - monotonic_s,
    )


def _place(action: Action) -> int:
    return NAMES.index(action.name) if action.name in NAMES else len(NAMES)
