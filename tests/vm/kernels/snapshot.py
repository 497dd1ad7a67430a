"""All sources at one moment, in which no request is under way."""

import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Self

from tests.vm.daemon import STARTUP_S
from tests.vm.kernels.sources import (
    DEBUG_DATA,
    STATS,
    Counts,
    Trace,
    count_shares,
    parse_ipc_trees,
    parse_stats,
    parse_trace,
    read_trace,
)
from tests.vm.lab import Job, Machine
from tests.vm.lab.errors import LabError

QUIET_TIMEOUT_S = 60.0
_POLL_S = 0.3
_IDLE = "Operations (MIDs): 0\n"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What each source has counted so far."""

    traced: Counts
    ledger: dict[str, int]
    trace: Trace
    stats: Counter[int]
    shares: int
    ipc_trees: frozenset[int]


class Witness:
    """A tracer of aod in the guest that counts every request by tree and command."""

    def __init__(self, vm: Machine, job: Job) -> None:
        self._vm = vm
        self._job = job
        self._told = 0

    @classmethod
    def start(cls, vm: Machine) -> Self:
        """Start it; `tell` waits until it is there."""
        command = "PYTHONPATH=/opt/aod:/run exec /usr/bin/python3.11 -m inside.witness"
        return cls(vm, vm.start(command))

    def tell(self) -> dict[str, Any]:
        """Return what it has counted."""
        if self._told:
            self._vm.run(f"kill -USR1 {self._job.pid}")
        self._told += 1
        until_s = time.monotonic() + STARTUP_S
        while len(lines := self._job.output().splitlines()) < self._told:
            if time.monotonic() > until_s:
                raise LabError(f"the witness does not tell: {self._job.errors()}")
            time.sleep(_POLL_S)
        told: dict[str, Any] = json.loads(lines[-1])
        if told["ledger"]["lost"]:
            raise LabError(f"the witness lost events, its counts are not whole: {told['ledger']}")
        return told

    def stop(self) -> None:
        """End it."""
        self._job.signal()
        self._job.wait()


def take(vm: Machine, witness: Witness) -> Snapshot:
    """Read all sources between two requests; raises LabError when it never gets quiet."""
    until_s = time.monotonic() + QUIET_TIMEOUT_S
    while time.monotonic() < until_s:
        trace = read_trace(vm)
        stats = vm.read(STATS).decode()
        told = witness.tell()
        if _IDLE in stats and read_trace(vm) == trace:
            return Snapshot(
                traced=Counter({(tree, command): count for tree, command, count in told["sent"]}),
                ledger=told["ledger"],
                trace=parse_trace(trace),
                stats=parse_stats(stats),
                shares=count_shares(stats),
                ipc_trees=parse_ipc_trees(vm.read(DEBUG_DATA).decode()),
            )
        time.sleep(_POLL_S)
    raise LabError(f"requests were under way for {QUIET_TIMEOUT_S:g} s:\n{stats}")
