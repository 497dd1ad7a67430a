"""What goes wrong around the service: afterwards it works as before, and nothing is left over."""

import os
import shlex
import signal
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aod.bundle import MANIFEST, read_member
from tests.plain import manifest_in
from tests.vm.daemon import OUTPUT, Daemon, Left, anomaly, watching
from tests.vm.lab import SERVED, SHARE, Machine

SLOW = {"type": "Latency", "default_threshold_ms": 200, "actions": ["debugdata", "stats"]}
NO_REST = {"cooldown_sec": 0, "max_cooldown_sec": 0, "max_bundles_per_hour": 1000}
LIVELY = {"incidents": NO_REST, "watcher": {"post_trigger_sec": 0.5}}
STEADY = {"action_timeout_sec": 3, "action_max_mb": 1, "post_trigger_sec": 0.5}
INCIDENTS = os.environ.get("AOD_TEST_INCIDENTS", "")
MARKER_BYTES = 100
"""The line that says that more was cut off."""
SMBD = "/usr/sbin/smbd -D -s /run/lab/smb.conf"
PROBES = "bpftool link show | grep -c perf_event"
OURS = "ps -eo ppid,pid,args | awk '$1 == {pid}'"


class Chaos:
    """A running aod, and what has to hold of it whatever happens around it."""

    def __init__(self, vm: Machine, config: Mapping[str, Any], **keys: Any) -> None:
        self.vm = vm
        self.daemon = Daemon.start(vm, config, **keys)
        self._files = 0

    def wait_for_more(self, text: str, before: int) -> None:
        """Wait until the log has a text more often than before."""
        more = f"[ $(grep -cF {shlex.quote(text)} /run/aod.log) -gt {before} ]"
        self.vm.run(
            f"timeout 60 bash -c {shlex.quote(f'until {more}; do sleep 0.1; done')} || "
            "{ cat /run/aod.log >&2; exit 1; }",
            90,
        )

    def slow_down(self, wait_for: str = "bundle sealed") -> None:
        """Make one operation slow, and wait for what the log says of it."""
        before = self.daemon.log().count(wait_for)
        self._files += 1
        name = f"slow{self._files}"
        self.vm.run(f"echo 1 > {SERVED}/{name}")
        self.vm.delay(150)
        self.vm.run(f"stat {SHARE}/{name}", check=False)
        self.vm.no_delay()
        self.wait_for_more(wait_for, before)

    def end(self, tmp_path: Path) -> Left:
        """Stop it, and look at what it leaves: whole bundles, no process, no probe."""
        pid = self.daemon.pid
        assert self.vm.run(OURS.format(pid=pid)).stdout == ""
        self.daemon.signal(signal.SIGTERM)
        assert self.daemon.wait(60) == 0, self.daemon.log()
        assert self.daemon.ledger().is_closed, self.daemon.log()
        assert self.vm.run(PROBES, check=False).stdout.strip() == "0"
        left = Left(self.vm, tmp_path)
        for bundle in left.bundles:
            for name in [MANIFEST, *manifest_in(bundle)["files"]]:
                read_member(bundle, name)  # compares its SHA-256
        whole = {bundle.name for bundle in left.bundles}
        assert set(left.names) - whole <= {"audit.jsonl", "audit.jsonl.1"}
        return left


def fake(vm: Machine, program: str, script: str) -> None:
    """Put a script in the place of a program that an action calls."""
    vm.write(f"/usr/bin/{program}", f"#!/bin/bash\n{script}\n".encode())
    vm.run(f"rm -f /usr/sbin/{program}; chmod 755 /usr/bin/{program}")


def test_the_server_dies_twenty_times_under_load(vm: Machine, tmp_path: Path) -> None:
    errors = {"type": "Error", "acceptable_count": 0}
    lost = {"type": "Reconnect"}
    config = watching({"latency": SLOW, "error": errors, "reconnect": lost}, **LIVELY)
    chaos = Chaos(vm, config)
    vm.run(f"for i in $(seq 50); do echo $i > {SERVED}/busy$i; done")
    loads = [
        vm.start(f"while :; do for i in $(seq 50); do cat {SHARE}/busy$i; done; done")
        for _ in range(3)
    ]

    for _ in range(20):
        vm.run(f"kill -9 $(pidof smbd); sleep 0.5; {SMBD}; sleep 1.5", 60)
    for load in loads:
        load.signal(signal.SIGKILL)
    vm.run(f"timeout 60 cat {SHARE}/busy1", 90)

    chaos.slow_down()
    left = chaos.end(tmp_path)
    told = {each["name"] for bundle in left.bundles for each in manifest_in(bundle)["anomalies"]}
    assert "reconnect" in told
    assert chaos.daemon.ledger().aborted > 0


@pytest.mark.promise
def test_a_disk_that_is_full_costs_bundles_and_no_more(vm: Machine, tmp_path: Path) -> None:
    vm.run(f"mkdir -p {OUTPUT} && mount -t tmpfs -o size=4m,mode=700 tmpfs {OUTPUT}")
    chaos = Chaos(vm, watching({"latency": SLOW}, **LIVELY))
    chaos.slow_down()

    vm.run(f"dd if=/dev/zero of={OUTPUT}/filler bs=4k status=none", check=False)
    chaos.slow_down(wait_for="bundle not opened")
    vm.run(f"rm {OUTPUT}/filler")
    chaos.slow_down()

    left = chaos.end(tmp_path)
    (held_back,) = left.manifest(-1)["suppressed_since_last"]
    assert (held_back["name"].partition(":")[0], held_back["count"] >= 1) == ("latency", True)
    assert len(left.bundles) >= 2


def test_an_output_directory_that_vanishes_is_made_anew(vm: Machine, tmp_path: Path) -> None:
    chaos = Chaos(vm, watching({"latency": SLOW}, **LIVELY))
    chaos.slow_down()

    vm.run(f"rm -rf {OUTPUT}")
    chaos.slow_down()

    left = chaos.end(tmp_path)
    assert len(left.bundles) == 1
    assert "audit.jsonl" in left.names
    assert vm.run(f"stat -c %a {OUTPUT}").stdout.strip() == "700"


@pytest.mark.parametrize("step", ["+1 hour", "-1 hour"])
def test_a_clock_that_is_set_changes_only_what_is_shown(
    vm: Machine, tmp_path: Path, step: str
) -> None:
    rest = {"cooldown_sec": 20, "max_cooldown_sec": 20, "max_bundles_per_hour": 1000}
    config = watching({"latency": SLOW}, incidents=rest, cleanup={"cleanup_interval_sec": 1})
    chaos = Chaos(vm, config, AOD_LOG_LEVEL="DEBUG")
    chaos.slow_down()

    vm.run(f"date -s {shlex.quote(step)}")
    chaos.slow_down(wait_for="anomaly held back")
    vm.run("sleep 21", 60)
    chaos.slow_down()

    left = chaos.end(tmp_path)
    assert len(left.bundles) == 2
    raised = sorted(manifest_in(bundle)["timestamp"] for bundle in left.bundles)
    assert 3500e9 < raised[1] - raised[0] < 3700e9


FAILING = """
import asyncio, sys
sys.path.insert(0, "/opt/aod")
from aod.runtime import supervisor
from aod.__main__ import main
from aod.runtime.status import Status
from aod.runtime.supervisor import Supervisor
supervisor.FIRST_PAUSE_S = 0.2
start, ready = Supervisor.start, Status.ready
attached, failed = asyncio.Event(), set()
def noted(self, condition):
    ready(self, condition)
    attached.set()
def failing(self, component):
    work = component.work
    async def once(progress):
        if component.name in failed:
            return await work(progress)
        failed.add(component.name)
        if component.name == "tracer":
            # The first attach may not fail: a service that cannot watch says so and ends.
            tracing = asyncio.ensure_future(work(progress))
            await attached.wait()
            tracing.cancel()
            await asyncio.wait([tracing])
        raise RuntimeError(f"made to fail {component.name}")
    component.work = once
    return start(self, component)
Status.ready, Supervisor.start = noted, failing
sys.argv = sys.argv[1:]
main()
"""
COMPONENTS = {
    *("tracer", "open requests", "detector latency", "detector error", "incidents", "notify"),
    *("output directory", "cleanup", "counters", "state", "watchdog", "reload"),
    *("collect", "control", "audit", "orphans", "names"),
}


def test_every_component_fails_once(vm: Machine, tmp_path: Path) -> None:
    vm.write("/run/failing.py", FAILING.encode())
    config = watching({"latency": SLOW, "error": {"type": "Error"}}, **LIVELY)
    chaos = Chaos(vm, config, wrapper="/usr/bin/python3 /run/failing.py")
    chaos.wait_for_more("attached rung=1", before=1)

    chaos.slow_down()

    lines = chaos.daemon.log().splitlines()
    again = [line.rsplit("=", 1)[1] for line in lines if "component started again" in line]
    assert sorted(again) == sorted(COMPONENTS)
    chaos.end(tmp_path)


SCRIPTS = {
    "ignores TERM": ("journalctl", "trap '' TERM; while :; do sleep 1; done", "timeout"),
    "prints 10 GB": ("dmesg", "exec head -c 10G /dev/zero", "ok"),
    "forks grandchildren": (
        "journalctl",
        "for i in 1 2 3; do sleep 1000 & setsid sleep 1000 & done; echo done",
        "ok",
    ),
    "hangs on a dead share": ("dmesg", f"exec stat {SHARE}/never", "timeout"),
    "is stuck in the kernel": ("dmesg", "exec touch /mnt/frozen/file", "abandoned"),
}


@pytest.mark.parametrize(("program", "script", "state"), SCRIPTS.values(), ids=SCRIPTS)
def test_an_action_that_misbehaves_has_a_result_and_leaves_nothing(
    vm: Machine, tmp_path: Path, program: str, script: str, state: str
) -> None:
    fake(vm, program, script)
    is_stuck = state == "abandoned"
    if is_stuck:
        vm.run(
            "modprobe loop && truncate -s 8M /run/frozen.img && mkfs.ext4 -q /run/frozen.img && "
            "mkdir /mnt/frozen && mount -o loop /run/frozen.img /mnt/frozen && "
            "fsfreeze -f /mnt/frozen"
        )
    actions = ["debugdata", program]
    config = watching({"latency": {**SLOW, "actions": actions}}, watcher=STEADY, incidents=NO_REST)
    chaos = Chaos(vm, config)
    if "share" in script:
        vm.run(f"echo 1 > {SERVED}/cold")
        vm.delay(150)
        vm.run(f"stat {SHARE}/cold")
        vm.stop_smbd()
        vm.run("tc qdisc del dev lo root")
        chaos.daemon.wait_for("bundle sealed")
        vm.continue_smbd()
    else:
        chaos.slow_down()
    chaos.slow_down()

    if is_stuck:
        assert "child is stuck in the kernel" in chaos.daemon.log()
        vm.run("fsfreeze -u /mnt/frozen")
        chaos.daemon.wait_for("stuck child is gone")
    left = chaos.end(tmp_path)
    assert vm.run("pgrep -x sleep || true").stdout == ""
    result = left.manifest()["actions"][program]
    assert result["state"] == state
    if "10G" in script:
        assert result["truncated"]
        assert result["bytes"] < (1 << 20) + MARKER_BYTES
    assert anomaly(left.manifest(-1), "latency")["count"] >= 1


@pytest.mark.skipif(
    not INCIDENTS,
    reason="takes ten minutes: AOD_TEST_INCIDENTS=50,500 (tests/test_memory.py does it here)",
)
@pytest.mark.timeout(2400)
def test_many_incidents_take_no_more_memory_than_some(vm: Machine, tmp_path: Path) -> None:
    any_operation = {**SLOW, "default_threshold_ms": 0, "acceptable_count": 0}
    watcher = {"post_trigger_sec": 0}
    config = watching({"latency": any_operation}, incidents=NO_REST, watcher=watcher)
    chaos = Chaos(vm, config)
    vm.run(f"echo 1 > {SERVED}/busy")
    load = vm.start(f"while :; do stat {SHARE}/busy > /dev/null; sleep 0.3; done")
    pss = f"awk '/^Pss:/ {{print $2}}' /proc/{chaos.daemon.pid}/smaps_rollup; sleep 0.2;"

    pss_kib = []
    for count in map(int, INCIDENTS.split(",")):
        reached = f"until [ $(grep -c 'bundle sealed' /run/aod.log) -ge {count} ]; do sleep 1; done"
        vm.run(f"timeout 1500 bash -c {shlex.quote(reached)}", 1600)
        # While a child is forked it shares all pages, and while a bundle is packed there are more.
        pss_kib.append(statistics.median(map(int, vm.run(pss * 15).stdout.split())))
    load.signal(signal.SIGKILL)

    chaos.end(tmp_path)
    print(pss_kib)
    assert pss_kib[-1] < 1.05 * pss_kib[0], pss_kib


IDLE_STOP_MS = 500
EMULATION = 4
"""Software emulation makes taking out the probes so much slower, and more."""


def test_an_idle_service_stops_in_time(vm: Machine) -> None:
    daemon = Daemon.start(vm, watching({"latency": SLOW}))
    gone = f"grep -q '^State:.Z' /proc/{daemon.pid}/status"
    took_ms = vm.run(
        f"started=$(date +%s%N); kill {daemon.pid}; until {gone}; do sleep 0.01; done; "
        "echo $((($(date +%s%N) - started) / 1000000))"
    ).stdout

    assert daemon.wait() == 0
    assert int(took_ms) < IDLE_STOP_MS * EMULATION
