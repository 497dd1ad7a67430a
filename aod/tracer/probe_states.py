"""What a tracer has attached, in plain data: for the doctor, here or over the socket."""

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from aod.smb.probes import CREDITS, Probe

if TYPE_CHECKING:  # who only reads over the socket needs no libbpf
    from aod.tracer.program import Tracer


@dataclass(frozen=True, slots=True)
class RungInUse:
    """A rung of the ladder, and what it lacks of the highest."""

    number: int
    name: str
    lacks: str


@dataclass(frozen=True, slots=True)
class ProbeState:
    """One probe: what it shows, whether it is attached, or why one that is wanted is not."""

    section: str
    tells: str
    attached: bool
    missing: str
    for_credits: bool


@dataclass(frozen=True, slots=True)
class Attached:
    """The rung, why none higher holds, the ring's size, and each probe."""

    rung: RungInUse
    refusals: tuple[str, ...]
    ring_bytes: int
    probes: tuple[ProbeState, ...]


def describe(tracer: "Tracer") -> Attached:
    """Return what a tracer has attached."""
    rung = tracer.rung
    return Attached(
        RungInUse(rung.number, rung.name, rung.lacks),
        tuple(tracer.refusals),
        tracer.ring_bytes,
        tuple(_state(tracer, probe) for probe in chain(rung.needed, rung.optional, CREDITS)),
    )


def _state(tracer: "Tracer", probe: Probe) -> ProbeState:
    return ProbeState(
        section=tracer.section(probe),
        tells=probe.shows,
        attached=probe.program in tracer.programs,
        missing=tracer.missing.get(probe.program, ""),
        for_credits=probe in CREDITS,
    )
