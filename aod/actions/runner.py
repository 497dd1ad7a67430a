"""Runs actions, at most so many at once over all incidents, each on its own."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence

from aod.actions import NAMES
from aod.actions.action import (
    Abandoned,
    Action,
    ActionResult,
    Context,
    Guard,
    Result,
    Skip,
    Span,
    keeps_packets,
)
from aod.actions.output import Files, Output
from aod.processes.children import Children

log = logging.getLogger(__name__)

LAST_RESORT_S = 10.0
"""Beyond its own deadline an action needs at most 5 s to end its child and pipes."""


class Runner:
    """Gives every action a slot, a file and a deadline, and turns what happens into results.

    One runner serves all incidents. Whatever one action does is its own result; it never
    touches the others.
    """

    def __init__(self, max_concurrent_tasks: int, children: Children, guard: Guard) -> None:
        self._slots = asyncio.Semaphore(max_concurrent_tasks)
        self._children = children
        self._guard = guard

    def change_limit(self, max_concurrent_tasks: int) -> None:
        """Let so many run at once from the next incident on: one has all the slots."""
        self._slots = asyncio.Semaphore(max_concurrent_tasks)

    async def run(
        self,
        actions: Sequence[Action],
        span: Span,
        files: Files,
        on_result: Callable[[ActionResult], None],
    ) -> tuple[ActionResult, ...]:
        """Run the actions and return their results in the order in which they started.

        They start in the order of the table, third-party ones last. `on_result` is called with
        each result as it is there; on cancellation also with those that were cut off, after
        their children were ended (4 s), before CancelledError is raised.
        """
        context = Context(span, self._children, self._guard)
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
        is_text = not keeps_packets(action)
        output = Output(files, action.file_name, context.span.max_bytes, is_text=is_text)
        started: tuple[int, float] | None = None
        end = Result("cancelled", "aod ended before it was started")
        try:
            async with self._slots:
                started = (time.time_ns(), time.monotonic())
                end = Result("cancelled", "aod ended while it ran")
                end = await _collect(action, context, output)
        finally:
            try:
                await output.close()
            finally:
                result = _result(action, end, output, started)
                on_result(result)
        return result


async def _collect(action: Action, context: Context, output: Output) -> Result:
    """Run one action: the boundary at which whatever goes wrong becomes its result."""
    limit_s = context.span.timeout_s + context.span.post_trigger_s + LAST_RESORT_S
    try:
        async with asyncio.timeout(limit_s):
            return await action.collect(context, output)
    except Skip as skip:
        return Result("skipped", str(skip))
    except Abandoned as abandoned:
        return Result("abandoned", str(abandoned))
    except TimeoutError as error:
        return Result("timeout", str(error) or f"it did not end within {limit_s:g} s")
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        where = f" ({error.filename})" if error.filename else ""
        return Result("failed", f"{reason}{where}")
    except Exception as error:
        log.exception("action failed unexpectedly action=%s", action.name)
        return Result("failed", f"{type(error).__name__}: {error}")


def _result(
    action: Action, end: Result, output: Output, started: tuple[int, float] | None
) -> ActionResult:
    wall_ns, monotonic_s = started or (0, time.monotonic())
    state, reason = end.state, end.reason
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
        exit_code=end.exit_code,
        stderr=end.stderr,
        started_wall_ns=wall_ns,
        duration_s=time.monotonic() - monotonic_s,
    )


def _place(action: Action) -> int:
    return NAMES.index(action.name) if action.name in NAMES else len(NAMES)
