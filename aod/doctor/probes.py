"""The probes, attached for real and taken out again: what is seen, what is not, and why."""

from collections.abc import Collection, Iterator
from itertools import chain

from aod.doctor.finding import Finding, State
from aod.errors import TracerError
from aod.events import Kind
from aod.filter import Filter
from aod.report import text
from aod.tracer.ladder import TYPES, climb
from aod.tracer.probes import CREDITS, LADDER, Probe
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
        yield Finding(State.PROBLEM, "rung", str(error))
        return
    with tracer:
        yield from _unknown(tracer, hidden)
        yield _rung(tracer)
        for refusal in tracer.refusals:
            yield Finding(State.NOTE, "rung", f"not {refusal}")
        yield Finding(State.OK, "ring", f"{text.size(tracer.ring_bytes)} for events")
        for probe in (*tracer.rung.needed, *tracer.rung.optional):
            yield _probe(tracer, probe, probe.tells)
        for probe in CREDITS:
            tells = f"{probe.tells}; attached when an anomaly of type Credits is watched for"
            yield _probe(tracer, probe, tells)


def _rung(tracer: Tracer) -> Finding:
    rung = tracer.rung
    if not tracer.refusals:
        return Finding(State.OK, "rung", f"{rung.number}, the highest: {rung.name}")
    return Finding(State.WARNING, "rung", f"{rung.number}: {rung.name} ({rung.lacks})")


def _probe(tracer: Tracer, probe: Probe, tells: str) -> Finding:
    section = tracer.section(probe)
    if reason := tracer.missing.get(probe.program):
        return Finding(State.WARNING, "probe", f"{section} is missing: {tells} ({reason})")
    return Finding(State.OK, "probe", f"{section}: {tells}")


def _unknown(tracer: Tracer, hidden: Collection[str]) -> Iterator[Finding]:
    """Yield the hidden names that nothing goes by: they hide nothing."""
    probes = [*CREDITS, *chain.from_iterable((*r.optional, *r.needed) for r in LADDER)]
    functions = {tracer.section(probe).partition("/")[2] for probe in probes}
    known = {TYPES, *functions, *(probe.program for probe in probes)}
    for name in sorted(set(hidden) - known):
        yield Finding(State.WARNING, "rung", f"--hide {name}: aod uses nothing of that name")
