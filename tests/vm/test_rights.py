"""What of root's rights the service has on a real mount: none, but while it attaches and looks."""

import json
from pathlib import Path

import pytest

from aod.actions.tcpdump import Tcpdump
from aod.host.capabilities import Capability, mask
from tests.vm.daemon import Daemon, Left, anomaly, watching
from tests.vm.lab import SERVED, SHARE, Machine

NOBODY = 65534
HELD = mask(set(Capability) - {Capability.SYS_NICE})
HANGS = {"type": "Inflight", "threshold_ms": 2000, "actions": ["dmesg", "tcpdump", "smbinfo"]}


def sets(vm: Machine, pid: int) -> dict[str, set[int]]:
    """Return what the threads of a process have in each of their sets."""
    told = vm.run(f"grep -h ^Cap /proc/{pid}/task/*/status").stdout
    pairs = [line.split(":\t") for line in told.splitlines()]
    return {key: {int(value, 16) for k, value in pairs if k == key} for key, _ in pairs}


@pytest.mark.each_suite
def test_no_thread_has_a_right_and_cifs_may_come_back(vm: Machine) -> None:
    latency = {"type": "Latency", "default_threshold_ms": 60_000}
    config = watching({"latency": latency}, watch_interval_sec=1)
    daemon = Daemon.start(vm, config, wrapper="setpriv --no-new-privs")
    at_start = sets(vm, daemon.pid)
    vm.umount()
    vm.run("sleep 2; rmmod cifs")
    daemon.wait_for("cifs was unloaded")
    vm.run("modprobe cifs")
    attached = "[ $(grep -c attached.rung=1 /run/aod.log) = 2 ]"
    vm.run(f"timeout 20 sh -c 'until {attached}; do sleep 0.1; done'")
    vm.mount()
    vm.run(f"for i in $(seq 50); do echo $i > {SHARE}/f$i; cat {SHARE}/f$i; done", 60)

    later = sets(vm, daemon.pid)
    daemon.stop()

    assert at_start == later
    assert at_start == {
        "CapInh": {0},
        "CapPrm": {HELD},
        "CapEff": {0},
        "CapBnd": {HELD},
        "CapAmb": {0},
    }
    assert daemon.log().count("missing=none") == 2
    assert "degraded" not in daemon.log()
    assert daemon.ledger().requests > 100
    assert daemon.ledger().skipped == 0


@pytest.mark.each_suite
def test_the_stack_of_another_users_thread_is_read_and_actions_have_what_they_need(
    vm: Machine, tmp_path: Path
) -> None:
    vm.run(f"echo 1 > {SERVED}/cold1")
    watched = watching({"inflight": HANGS}, watcher={"post_trigger_sec": 10})
    daemon = Daemon.start(vm, watched, wrapper="setpriv --no-new-privs")
    vm.stop_smbd()
    asking = vm.start(f"exec setpriv --reuid {NOBODY} --clear-groups stat {SHARE}/cold1")
    daemon.wait_for("incident opened")
    tcpdump = vm.run("timeout 20 sh -c 'until pidof tcpdump; do sleep 0.1; done'").stdout.split()
    of_tcpdump = sets(vm, int(tcpdump[-1]))
    vm.continue_smbd()
    asking.wait()
    daemon.wait_for("bundle sealed")
    daemon.stop()

    manifest = Left(vm, tmp_path).manifest()
    events = anomaly(manifest, "inflight")["events"]

    assert {event["uid"] for event in events if "stack" in event} == {NOBODY}
    assert of_tcpdump["CapEff"] == of_tcpdump["CapBnd"] == {mask(Tcpdump.capabilities)}
    states = {name: manifest["actions"][name]["state"] for name in ("dmesg", "tcpdump")}
    assert states == {"dmesg": "ok", "tcpdump": "ok"}, json.dumps(manifest["actions"])
