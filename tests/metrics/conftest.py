"""What the metrics are made of in the tests: one share with reads and writes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from aod.activity.samples import Counter, Sample
from aod.activity.totals import Totals
from aod.events import BUCKETS
from aod.metrics import Reading
from aod.metrics.collector import Exposition
from aod.runtime.counts import ServiceCounts
from aod.smb.names import Names
from aod.tracer.ledger import Ledger

DEBUG_DATA = """1) ConnectionId: 0x1 Hostname: nas01
	TCP status: 1
		SessionId: 0x7
		1) \\\\nas01\\q"uote Mounts: 1 DevInfo: 0x20
		tid: 0x5
"""
READ, WRITE, ECHO = 8, 9, 13


def sample() -> Sample:
    """Four reads of 1 to 2 ms, one write of over a minute, three echoes under 2 us."""
    reads, writes, echoes = (np.zeros(BUCKETS, np.int64) for _ in range(3))
    reads[10], writes[27], echoes[0] = 4, 1, 3
    counters = {
        (1, 5, READ): Counter(4, 1, 4096, 6_000_000, 1_900_000, reads),
        (1, 5, WRITE): Counter(1, 0, 512, 140_000_000_000, 140_000_000_000, writes),
        (1, 0, ECHO): Counter(3, 0, 0, 3_000, 1_000, echoes),
    }
    return Sample(1, counters, {(1, 5, WRITE): 2}, load=1)


def reading() -> Reading:
    ledger = Ledger(requests=11, completed=8, aborted=1, open=2, pdus=9, interim=1, skipped=5)
    service_counts = ServiceCounts(last_bundle="aod_1795351502363074012.tar.zst", deleted=3)
    service_counts.incidents["latency"] += 2
    service_counts.bundles["sealed"] += 1
    service_counts.restarts["names"] += 1
    lost = {"events": 7, "batches": 0, "anomalies": 0}
    return Reading(sample(), ledger, lost, service_counts, ["latency", "error"], rung=1, probes=19)


class Made:
    """Readings that a test makes."""

    def __init__(self, read: Callable[[], Reading]) -> None:
        self.read = read


@pytest.fixture
def make_exposition(tmp_path: Path) -> Callable[..., Exposition]:
    (tmp_path / "DebugData").write_text(DEBUG_DATA)
    names = Names(tmp_path / "DebugData", tmp_path)
    names.refresh()

    def make(read: Callable[[], Reading] = reading) -> Exposition:
        return Exposition(
            Made(read), Totals(names), {"aod": "0.1.0", "python": "3.11.2", "libbpf": "1.1"}
        )

    return make
