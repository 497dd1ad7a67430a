"""Runs a program whose output is an action's file."""

from aod.actions.action import Context, Result, Skip
from aod.actions.output import Output
from aod.processes.command import Command
from aod.processes.programs import NotRun


async def run(
    command: Command, context: Context, output: Output, timeout_s: float | None = None
) -> Result:
    """Return how a program ended; it has `timeout_s`, or as long as any action.

    Raises Skip for one that is not run, OSError for one that cannot be started.
    """
    deadline_s = context.span.timeout_s if timeout_s is None else timeout_s
    try:
        ending = await command.run(context.children, output, deadline_s)
    except NotRun as reason:
        raise Skip(str(reason)) from None
    return Result(ending.state, ending.reason, ending.exit_code, ending.stderr)
