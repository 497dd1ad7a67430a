"""Measures the ring's reader on this machine: `make bench`.

Prints events/s of each consumer over the same number of events, and the ratio to the
first, measured in one run: absolute figures mean little on a shared machine.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from aod.detectors.latency import Latency
from aod.events import Events
from aod.smb import Command
from aod.tracer.program import Tracer
from build import compile_bpf
from tests.events import MS, SECOND, make

TYPES = Path(__file__).parents[1] / "bpf" / "types.c"
FILL = 20_000
ROUNDS = 100


def main() -> None:
    """Fill and empty the ring ROUNDS times with each consumer, in turns."""
    detector = Latency("latency", dict.fromkeys(Command, 200 * MS), frozenset(), 10, SECOND, SECOND)
    consumers: dict[str, Callable[[Events], object]] = {
        "ring to array": lambda events: None,
        "and the detector, nothing slow": detector.feed,
        "one Python step per event": lambda events: [int(event["latency_ns"]) for event in events],
    }
    spent_ns = dict.fromkeys(consumers, 0)
    with tempfile.TemporaryDirectory() as folder:
        types = Path(folder) / "types.o"
        compile_bpf(TYPES, types, "CIFS", "CONN_ID")
        tracer = Tracer(btf=types, optional=("generate",))
    with tracer:
        context = FILL.to_bytes(8, "little") + make(1, latency_ns=7).tobytes()
        for _ in range(ROUNDS):
            for name, consume in consumers.items():
                tracer.run("generate", context)
                spent_ns[name] += _empty(tracer, consume)
    first_ns = spent_ns["ring to array"]
    for name, total_ns in spent_ns.items():
        rate = FILL * ROUNDS / total_ns * 1e3
        print(f"{name:<34} {rate:8.2f} M events/s  x {total_ns / first_ns:.2f}")


def _empty(tracer: Tracer, consume: Callable[[Events], object]) -> int:
    """Return the nanoseconds that reading and consuming what is there took."""
    seen, started_ns = 0, time.perf_counter_ns()
    while (events := tracer.ring.read()).size:
        consume(events)
        seen += events.size
    spent_ns = time.perf_counter_ns() - started_ns
    assert seen == FILL
    return spent_ns


if __name__ == "__main__":
    main()
