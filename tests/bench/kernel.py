"""Measures what the probes cost: `make bench-kernel`.

Most of it in a guest whose clock counts instructions, so that the figures repeat within
0.3 % on any machine; the rest natively, on this machine's processor. Writes
build/bench-kernel.json and ends with exit code 1 when a bar is missed.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench import native
from tests.bench.guest import BENCH, Guest, Run
from tests.bench.payload import assemble
from tests.vm.daemon import OUTPUT, Daemon
from tests.vm.lab import SHARE, LabError, Machine, host
from tests.vm.lab.cache import Cache, default_root
from tests.vm.lab.lab import prepare_counted

BUILD = Path(__file__).parents[2] / "build"
RESULT = BUILD / "bench-kernel.json"

BARS = {
    "kernel_vs_empty_kprobe": "<= 5.0",
    "kernel_vs_bpftrace": "<= 1.0",
    "mount_throughput_ratio": ">= 0.97",
    "spaced / hot": "<= 3",
}

WARM_UP_ROUNDS = 50
COUNTED_ROUNDS = 100
TIMED_ROUNDS = 600
"""15 requests each: three seconds of the guest's time, in which aod looks around as often."""

SETTLE_S = 5
"""In which aod has done what it does once."""

MACHINERY = {
    "kprobe": ("kprobe:__x64_sys_getppid", "getppid"),
    "tracepoint": ("tracepoint:cifs:smb3_enter", "ioctl", f"{SHARE}/probed"),
}
"""How a program of each kind is hit with little else: probe, and words of workload.c."""
RAW_TRACEPOINT = 130.0
"""Not measured: what a fentry takes on this kernel, which does more to reach its program."""


def main() -> int:
    """Measure, write, and compare with the bars; return the exit code."""
    if reason := host.missing():
        print(f"bench-kernel: {reason}", file=sys.stderr)
        return 1
    cache = Cache(default_root())
    try:
        payload = assemble(cache, BUILD / "payload", BUILD / "bench-payload")
        with prepare_counted(cache).machine(payload) as vm:
            result = _measure(vm)
    except LabError as error:
        print(f"bench-kernel: {error}", file=sys.stderr)
        return 1
    alone = native.measure()
    result |= {"native_ns_hot": alone.hot_ns, "native_ns_spaced": alone.spaced_ns}
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if _judge(result) else 1


def _measure(vm: Machine) -> dict[str, Any]:
    guest = Guest(vm)
    guest.files(WARM_UP_ROUNDS)
    off = guest.files(TIMED_ROUNDS)
    daemon = Daemon.start(vm)
    vm.run(f"sleep {SETTLE_S}")
    on = guest.files(TIMED_ROUNDS)
    aod = guest.counted(COUNTED_ROUNDS)
    daemon.stop()
    empty = _count_empty(guest, _kprobes(vm))
    with guest.traced(3, str(BENCH / "smb.bt")):
        bpftrace = guest.counted(COUNTED_ROUNDS)
    machinery = {kind: guest.machinery(*how) for kind, how in MACHINERY.items()}
    machinery["raw_tracepoint"] = RAW_TRACEPOINT
    runs = {"aod": aod, "empty_kprobes": empty, "bpftrace": bpftrace}
    whole = {name: run.with_machinery(machinery) for name, run in runs.items()}
    return {
        "kernel_vs_empty_kprobe": round(whole["aod"] / whole["empty_kprobes"], 3),
        "kernel_vs_bpftrace": round(whole["aod"] / whole["bpftrace"], 3),
        "mount_throughput_ratio": round(off / on, 4),
        "raw": _raw(runs, whole, machinery, {"off": off, "on": on}),
    }


def _raw(
    runs: Mapping[str, Run],
    whole: Mapping[str, float],
    machinery: Mapping[str, float],
    workload: Mapping[str, int],
) -> dict[str, Any]:
    return {
        "instructions_with_machinery_per_request": {n: round(v) for n, v in whole.items()},
        "machinery_per_hit": {kind: round(spent) for kind, spent in machinery.items()},
        "workload_instructions": dict(workload),
        "runs": {name: run.figures() for name, run in runs.items()},
    }


def _kprobes(vm: Machine) -> list[str]:
    """Return the functions that aod had probes on, by its own audit log."""
    audit = vm.read(OUTPUT / "audit.jsonl").decode().splitlines()
    (attach,) = [entry for line in audit if (entry := json.loads(line))["event"] == "attach"]
    kinds = {section.partition("/")[0] for section in attach["programs"]}
    if not kinds <= {"kprobe", "raw_tp"}:
        raise LabError(f"the cost of reaching one of {sorted(kinds)} is not measured here")
    return [p.partition("/")[2] for p in attach["programs"] if p.startswith("kprobe/")]


def _count_empty(guest: Guest, functions: list[str]) -> Run:
    script = ", ".join(f"kprobe:{function}" for function in functions) + " { }"
    with guest.traced(len(functions), "-e", script):
        return guest.counted(COUNTED_ROUNDS)


def _judge(result: Mapping[str, Any]) -> bool:
    """Print each figure beside its bar; return whether all are met."""
    ratio = result["native_ns_spaced"] / result["native_ns_hot"]
    figures = {**result, "spaced / hot": round(ratio, 2)}
    all_met = True
    for name, bar in BARS.items():
        comparison, limit = bar.split()
        met = figures[name] <= float(limit) if comparison == "<=" else figures[name] >= float(limit)
        all_met &= met
        print(f"{name:<24} {figures[name]:8}  {bar:<8} {'ok' if met else 'FAIL'}")
    for name in ("native_ns_hot", "native_ns_spaced"):
        print(f"{name:<24} {result[name]:8}")
    return all_met


if __name__ == "__main__":
    sys.exit(main())
