"""The probes' own code on this machine's processor, fed with made-up requests."""

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aod.config import load
from aod.detectors.detection import make_detectors
from aod.smb.filter import union
from aod.smb.names import Names
from aod.tracer.program import Tracer
from build import compile_bpf

HERE = Path(__file__).parent
TYPES = HERE.parent / "bpf" / "types.c"
SHIPPED = HERE.parents[1] / "config" / "config.yaml"

HOT_REQUESTS = 50_000
HOT_ROUNDS = 20
SPACED_REQUESTS = 5_000
SPACING_NS = 100_000


@dataclass(frozen=True, slots=True)
class Native:
    """Nanoseconds of the programs per request: one after the other, and one every 100 us."""

    hot_ns: int
    spaced_ns: int


def measure() -> Native:
    """Return the medians: of rounds in a loop, and of single requests with time between.

    With the filter of the shipped config. Needs root; raises TracerError.
    """
    with tempfile.TemporaryDirectory() as folder:
        types, programs = Path(folder) / "types.o", Path(folder) / "native.o"
        compile_bpf(TYPES, types, "CIFS", "CONN_ID", "OLD")
        compile_bpf(HERE / "native.bpf.c", programs)
        tracer = Tracer(programs, btf=types)
    with tracer:
        config = load(SHIPPED, {})
        detectors = make_detectors(config.guardian.anomalies, config.watch_interval_ns, Names())
        tracer.set_filter(union(each.filter for each in detectors))
        feed = Feed(tracer)
        hot_ns = [feed.spent_ns(HOT_REQUESTS) / HOT_REQUESTS for _ in range(HOT_ROUNDS)]
        spaced_ns = _spaced(feed)
        return Native(round(statistics.median(hot_ns)), round(statistics.median(spaced_ns)))


class Feed:
    """Sends made-up requests through the probes' code."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._message_id = 1

    def spent_ns(self, requests: int) -> int:
        """Send and answer so many; return the nanoseconds that it took."""
        context = np.array([requests, self._message_id], np.uint64).tobytes()
        self._message_id += requests
        return self._tracer.run("native", context)


def _spaced(feed: Feed) -> list[int]:
    spent_ns, due_ns = [], time.perf_counter_ns()
    for _ in range(SPACED_REQUESTS):
        due_ns += SPACING_NS
        # Busy with something else, which the caches hold then.
        while time.perf_counter_ns() < due_ns:
            pass
        spent_ns.append(feed.spent_ns(1))
    return spent_ns


if __name__ == "__main__":
    print(measure())
