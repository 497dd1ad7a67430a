"""What a tracer has attached, in plain data: for the doctor, here or over the socket."""

from itertools import chain
from typing import Any

from aod.smb.probes import CREDITS, Probe
from aod.tracer.program import Tracer


def describe(tracer: Tracer) -> dict[str, Any]:
    """Return the rung, why none higher holds, the ring's size, and each probe.

    A probe has its `section`, what it `tells`, and whether it is `attached`; one that is wanted
    and not attached has the reason as `missing`.
    """
    rung = tracer.rung
    return {
        "rung": {"number": rung.number, "name": rung.name, "lacks": rung.lacks},
        "refusals": list(tracer.refusals),
        "ring_bytes": tracer.ring_bytes,
        "probes": [_probe(tracer, probe) for probe in chain(rung.needed, rung.optional, CREDITS)],
    }


def _probe(tracer: Tracer, probe: Probe) -> dict[str, Any]:
    return {
        "section": tracer.section(probe),
        "tells": probe.tells,
        "attached": probe.program in tracer.programs,
        "missing": tracer.missing.get(probe.program, ""),
        "for_credits": probe in CREDITS,
    }
