"""The programs that the actions run: which of them are not installed."""

from collections.abc import Iterable, Iterator

from aod import actions
from aod.doctor.finding import Finding, Severity
from aod.processes import programs
from aod.processes.programs import NotRun


def examine(names: Iterable[str] = ()) -> Iterator[Finding]:
    """Yield what is missing of the programs that these actions run, and of what starts them."""
    for confining in programs.CONFINING:
        if reason := _lacking(confining):
            text = f"{reason}: no action can run a program (install util-linux)"
            yield Finding(Severity.PROBLEM, "actions", text)
    for name in names:
        try:
            program = getattr(actions.create(name), "program", None)
        except Exception as error:  # a third party's code: whatever it raises
            yield Finding(Severity.PROBLEM, "action", f"{name}: cannot be loaded: {error!r}")
            continue
        if isinstance(program, str) and (reason := _lacking(program)):
            yield Finding(Severity.NOTE, "action", f"{name}: {reason}: skipped")


def _lacking(program: str) -> str:
    """Return why a program is not run, or ""."""
    try:
        programs.find(program)
    except NotRun as reason:
        return str(reason)
    return ""
