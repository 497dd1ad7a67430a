"""The module comes and goes under a running aod, and nothing is left in the kernel."""

import json
import signal
import statistics

import pytest

from tests.vm.daemon import Daemon, watching
from tests.vm.lab import SHARE, Machine

ROUNDS = 10
INTERVAL_S = 1
ATTACH_S = 2
EMULATION = 4
"""Software emulation makes the loading of programs so much slower, and more."""

OBJECTS = "bpftool -j prog show; bpftool -j link show; bpftool -j map show"
LATENCY = {"type": "Latency", "default_threshold_ms": 60_000, "emergency_threshold_ms": 60_000}
TIMED = """
started=$(date +%s%N)
{what}
until {done}; do sleep 0.05; done
echo $((($(date +%s%N) - started) / 1000000))
"""


def objects_of_aod(vm: Machine) -> list[str]:
    """Return the names of programs and maps that are ours; links have none."""
    answers = [json.loads(line) for line in vm.run(OBJECTS).stdout.splitlines()]
    programs, links, maps = answers
    own = {"slots", "inflight", "waiting", "counters", "events", "ledger"}
    names = [entry["name"] for entry in maps if entry.get("name") in own]
    names += [entry["name"] for entry in programs if entry["type"] in ("kprobe", "raw_tracepoint")]
    return names + ["link"] * len(links)


def test_cifs_is_unloaded_and_loaded_again_ten_times(vm: Machine) -> None:
    daemon = Daemon.start(vm, watching({"latency": LATENCY}, watch_interval_sec=INTERVAL_S))
    attach_ms = []

    for round_number in range(1, ROUNDS + 1):
        vm.umount()
        vm.run(f"sleep {2 * INTERVAL_S}; rmmod cifs")
        vm.run(
            f"timeout 20 sh -c 'until [ $(grep -c unloaded /run/aod.log) = {round_number} ]; "
            "do sleep 0.05; done'",
            60,
        )
        assert objects_of_aod(vm) == []
        attached = f"[ $(grep -c 'attached rung=1' /run/aod.log) = {round_number + 1} ]"
        took_ms = vm.run(TIMED.format(what="modprobe cifs", done=attached), 60).stdout
        attach_ms.append(int(took_ms))
        vm.mount()
        vm.run(f"echo {round_number} > {SHARE}/file && cat {SHARE}/file")

    assert daemon.stop() == 0
    assert objects_of_aod(vm) == []
    # Not the longest: a guest on a busy machine stands still now and then.
    assert statistics.median(attach_ms) < 1000 * ATTACH_S * EMULATION, attach_ms
    ledger = daemon.ledger()
    assert ledger.requests > 20 * ROUNDS
    assert ledger.unanswered == ledger.lost == 0
    assert "missing=none" in daemon.log()


@pytest.mark.promise
def test_nothing_is_left_in_the_kernel_after_a_kill(vm: Machine) -> None:
    daemon = Daemon.start(vm, watching({"latency": LATENCY}))
    assert len(objects_of_aod(vm)) > 20

    daemon.signal(signal.SIGKILL)
    daemon.wait()

    assert objects_of_aod(vm) == []
    vm.umount()
    vm.run("sleep 1; rmmod cifs")
