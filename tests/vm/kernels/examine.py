"""One kernel: the workload under aod's eyes, and what was counted meanwhile."""

import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aod.smb import Command
from aod.tracer.ledger import Ledger
from tests.vm.daemon import Daemon, Left, watching
from tests.vm.kernels.rules import ENTERED, STATS, Difference, Window, differences
from tests.vm.kernels.snapshot import Snapshot, Witness, take
from tests.vm.kernels.sources import by_command, start_tracing
from tests.vm.lab import Lab, LabError, Machine

INSIDE = Path(__file__).with_name("inside")
PHASE_TIMEOUT_S = 300.0

SLOW_MS = 300
HANGING_MS = 2500
CONFIG = watching(
    {
        "latency": {
            "type": "Latency",
            "default_threshold_ms": SLOW_MS,
            # What is sent in bulk is slow under emulation, whatever the network does.
            "exclude_commands": ["SMB2_READ", "SMB2_WRITE", "SMB2_FLUSH"],
        },
        "error": {"type": "Error", "mode": "trackonly", "track_codes": ["EACCES"]},
        "inflight": {"type": "Inflight", "threshold_ms": HANGING_MS},
    },
    incidents={"cooldown_sec": 0, "max_cooldown_sec": 0, "max_bundles_per_hour": 1000},
)

Event = Mapping[str, Any]
EVIDENCE: dict[str, Callable[[Event], bool]] = {
    "latency": lambda event: SLOW_MS <= event["server_ns"] / 1e6 < HANGING_MS,
    "error": lambda event: bool(event["status"] == "STATUS_ACCESS_DENIED"),
    "inflight": lambda event: bool(event["kind"] == "unanswered"),
}
"""What an event of each anomaly must show, which is what the workload caused."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What one kernel gave."""

    suite: str
    kernel: str
    rung: int
    ledger: Ledger
    incidents: Mapping[str, bool]
    differences: tuple[Difference, ...]
    told: Mapping[str, Mapping[str, Any]]


def examine(lab: Lab, payload: Path, suite: str) -> Examined:
    """Run the workload in a fresh guest; raises LabError when something does not come about."""
    with lab.machine(payload) as vm, tempfile.TemporaryDirectory() as folder:
        _bring_inside(vm)
        start_tracing(vm)
        witness = Witness.start(vm)
        told = _run(vm, "prepare")
        daemon = Daemon.start(vm, CONFIG)
        calm = _watched(vm, witness, "calm", told)
        told |= _run(vm, "between")
        trouble = _watched(vm, witness, "trouble", told)
        witness.stop()
        code = daemon.stop()
        log = daemon.log()
        if code:
            raise LabError(f"aod ended with code {code}:\n{log[-2000:]}")
        return Examined(
            suite,
            vm.run("uname -r").stdout.strip(),
            rung_of(log),
            ledger_of(log),
            _incidents(Left(vm, Path(folder))),
            (*differences(calm), *differences(trouble)),
            told,
        )


def ledger_of(log: str) -> Ledger:
    """Return the books that a daemon closed with; raises LabError when it did not."""
    lines = [line for line in log.splitlines() if ": stopped " in line]
    if not lines:
        raise LabError(f"aod did not close its books:\n{log[-2000:]}")
    return Ledger(**{name: int(value) for name, value in re.findall(r"(\w+)=(-?\d+)", lines[-1])})


def rung_of(log: str) -> int:
    """Return the rung that a daemon attached on first."""
    return int(re.findall(r"attached rung=(\d+) ", log)[0])


def _bring_inside(vm: Machine) -> None:
    vm.run(f"mkdir /run/{INSIDE.name}")
    for file in INSIDE.glob("*.py"):
        vm.write(f"/run/{INSIDE.name}/{file.name}", file.read_bytes())


def _run(vm: Machine, phase: str) -> dict[str, Any]:
    done = vm.run(f"cd /run && python3 -m inside {phase}", PHASE_TIMEOUT_S)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _watched(vm: Machine, witness: Witness, phase: str, told: dict[str, Any]) -> Window:
    before = take(vm, witness)
    told |= _run(vm, phase)
    return window_of(phase, before, take(vm, witness))


def window_of(name: str, before: Snapshot, after: Snapshot) -> Window:
    """Return what each source counted between two snapshots, by command."""
    traced = after.traced - before.traced
    ipc_trees = before.ipc_trees | after.ipc_trees
    ipc = Counter({row: count for row, count in traced.items() if row[0] in ipc_trees})
    connects = after.trace.ipc_connects - before.trace.ipc_connects
    return Window(
        name,
        traced=by_command(traced),
        counted={
            ENTERED: by_command(after.trace.entered - before.trace.entered),
            STATS: after.stats - before.stats,
        },
        ipc=by_command(ipc) + Counter({Command.SMB2_TREE_CONNECT: connects}),
        breaks=after.ledger["breaks"] - before.ledger["breaks"],
        shares=after.shares,
    )


def _incidents(left: Left) -> dict[str, bool]:
    """Tell of each anomaly whether a bundle shows it, with what the workload caused."""
    anomalies = [
        anomaly
        for index in range(len(left.bundles))
        for anomaly in left.manifest(index)["anomalies"]
    ]
    return {
        name: any(
            anomaly["name"] == name and any(map(is_it, anomaly["events"])) for anomaly in anomalies
        )
        for name, is_it in EVIDENCE.items()
    }
