"""A guest whose clock counts instructions, and what is measured in it."""

import json
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.vm.lab import SERVED, SHARE, LabError, Machine

BENCH = Path("/opt/aod/bench")
BPFTRACE = Path("/opt/aod/bpftrace")
REQUESTS = "awk '/^SMBs:/ {n += $2} END {print n}' /proc/fs/cifs/Stats"
KINDS = ("kprobe", "tracepoint", "raw_tracepoint")

# In the guest's time: busy, it runs at a twentieth of this machine's.
_TIMEOUT_S = 300.0
_ATTACH_POLLS = 200
_HITS = 20_000


@dataclass(frozen=True, slots=True)
class Cost:
    """What one BPF program did during a workload."""

    program: str
    kind: str
    hits: int
    instructions: int


@dataclass(frozen=True, slots=True)
class Run:
    """A workload: the requests that it made, and the BPF programs that ran meanwhile."""

    requests: int
    costs: tuple[Cost, ...]

    @property
    def instructions(self) -> float:
        """Instructions in BPF programs per request."""
        return sum(cost.instructions for cost in self.costs) / self.requests

    def with_machinery(self, machinery: Mapping[str, float]) -> float:
        """Return the same with what the kernel spends to come to a program of each kind."""
        spent = sum(machinery[cost.kind] * cost.hits for cost in self.costs)
        return self.instructions + spent / self.requests

    def figures(self) -> dict[str, Any]:
        """Return what each program did per request, for the report."""
        return {
            "requests": self.requests,
            "instructions_per_request": round(self.instructions),
            "programs": [
                {
                    "name": cost.program,
                    "kind": cost.kind,
                    "hits_per_request": round(cost.hits / self.requests, 3),
                    "instructions_per_hit": round(cost.instructions / cost.hits),
                }
                for cost in self.costs
            ],
        }


class Guest:
    """Lets a machine of `prepare_counted` work, with nothing or with probes in its way."""

    def __init__(self, vm: Machine) -> None:
        self.vm = vm
        # A disk would make it wait, in time of this machine.
        vm.umount()
        vm.run(f"mount -t tmpfs tmpfs {SERVED} && chown alice: {SERVED}")
        vm.mount()

    def files(self, rounds: int) -> int:
        """Use `rounds` files on the share, 15 requests each; return the instructions it took."""
        return self._work("files", str(SHARE), str(rounds))

    def counted(self, rounds: int) -> Run:
        """Use files, and count what the BPF programs that are attached do."""
        self.vm.run("sysctl -q kernel.bpf_stats_enabled=1")
        self.files(rounds // 10)
        before, sent = self._programs(), self._requests()
        self.files(rounds)
        after, sent = self._programs(), self._requests() - sent
        self.vm.run("sysctl -q kernel.bpf_stats_enabled=0")
        costs = (_cost(before[number], after[number]) for number in before.keys() & after.keys())
        return Run(sent, tuple(sorted((c for c in costs if c.hits), key=lambda c: c.program)))

    def machinery(self, probe: str, *words: str) -> float:
        """Return the instructions from a function to an empty program on it, and back.

        `probe` as bpftrace names it; `words` make the workload program hit it 20,000 times.
        """
        alone = self._work(*words, str(_HITS))
        with self.traced(1, "-e", f"{probe} {{ }}"):
            probed = self._work(*words, str(_HITS))
        return (probed - alone) / _HITS

    @contextmanager
    def traced(self, probes: int, *arguments: str) -> Iterator[None]:
        """Run bpftrace while the context lasts, begun when its `probes` are attached."""
        libraries = ":".join(f"{BPFTRACE}{part}/x86_64-linux-gnu" for part in ("/lib", "/usr/lib"))
        words = " ".join(shlex.quote(word) for word in arguments)
        job = self.vm.start(
            f"LD_LIBRARY_PATH={libraries} exec {BPFTRACE}/usr/bin/bpftrace {words} 2>&1"
        )
        try:
            if not self._attached(probes):
                raise LabError(f"bpftrace does not attach {words}: {job.output()}")
            yield
        finally:
            job.signal()
            job.wait(_TIMEOUT_S)

    def _attached(self, wanted: int) -> bool:
        polls = (self.vm.run("bpftool -j perf show").stdout for _ in range(_ATTACH_POLLS))
        return any(len(json.loads(shown)) >= wanted for shown in polls)

    def _work(self, *words: str) -> int:
        return int(self.vm.run(f"{BENCH}/workload {' '.join(words)}", _TIMEOUT_S).stdout)

    def _requests(self) -> int:
        return int(self.vm.run(REQUESTS).stdout)

    def _programs(self) -> dict[int, dict[str, Any]]:
        shown = json.loads(self.vm.run("bpftool -j prog show").stdout)
        return {row["id"]: row for row in shown if row["type"] in KINDS}


def _cost(before: dict[str, Any], after: dict[str, Any]) -> Cost:
    hits, spent = (after.get(key, 0) - before.get(key, 0) for key in ("run_cnt", "run_time_ns"))
    return Cost(after.get("name", ""), after["type"], hits, spent)
