"""The probes, attached for real and taken out again: what is seen, what is not, and why."""

from collections.abc import Collection, Iterator, Sequence
from itertools import chain

from aod import text
from aod.doctor.finding import Finding, Severity
from aod.errors import TracerError
from aod.events import Kind
from aod.smb.filter import Filter
from aod.smb.probes import CREDITS, LADDER
from aod.tracer import probe_states
from aod.tracer.ladder import TYPES, climb
from aod.tracer.probe_states import Attached, ProbeState, RungInUse
from aod.tracer.program import Tracer

WANTED = Filter(kinds=frozenset({Kind.CREDIT_WAIT}))
"""No operation is sent, but every probe is attached that a config can ask for."""


def examine(hidden: Collection[str] = ()) -> Iterator[Finding]:
    """Attach what this kernel allows and yield what came of it; blocks for up to a second.

    What `hidden` names is taken for missing: functions, tracepoints, programs, or TYPES.
    """
    try:
        tracer = climb(WANTED, hidden=hidden)
    except TracerError as error:
        yield Finding(Severity.PROBLEM, "rung", str(error))
        return
    with tracer:
        yield from _unknown(tracer, hidden)
        yield from findings(probe_states.describe(tracer))


def findings(attached: Attached) -> Iterator[Finding]:
    """Yield what is attached, by this process or by the running service."""
    yield _rung(attached.rung, attached.refusals)
    for refusal in attached.refusals:
        yield Finding(Severity.NOTE, "rung", f"not {refusal}")
    yield Finding(Severity.OK, "ring", f"{text.size(attached.ring_bytes)} for events")
    for probe in attached.probes:
        yield _probe(probe)


def _rung(rung: RungInUse, refusals: Sequence[str]) -> Finding:
    if not refusals:
        return Finding(Severity.OK, "rung", f"{rung.number}, the highest: {rung.name}")
    return Finding(Severity.WARNING, "rung", f"{rung.number}: {rung.name} ({rung.lacks})")


def _probe(probe: ProbeState) -> Finding:
    section, shown = probe.section, probe.tells
    if probe.for_credits:
        shown += "; attached when an anomaly of type Credits is watched for"
    if probe.missing:
        reason = f"{section} is missing: {shown} ({probe.missing})"
        return Finding(Severity.WARNING, "probe", reason)
    if not probe.attached:
        return Finding(Severity.NOTE, "probe", f"{section} is not attached: {shown}")
    return Finding(Severity.OK, "probe", f"{section}: {shown}")


def _unknown(tracer: Tracer, hidden: Collection[str]) -> Iterator[Finding]:
    """Yield the hidden names that nothing goes by: they hide nothing."""
    probes = [*CREDITS, *chain.from_iterable((*r.optional, *r.needed) for r in LADDER)]
    functions = {tracer.section(probe).partition("/")[2] for probe in probes}
    known = {TYPES, *functions, *(probe.program for probe in probes)}
    for name in sorted(set(hidden) - known):
        yield Finding(Severity.WARNING, "rung", f"--hide {name}: aod uses nothing of that name")
