"""A server that does not answer: aod never touches the share, and still ends in time."""

import json
import re
import time
from pathlib import Path

import pytest

from tests.vm.daemon import ALL_ACTIONS, OUTPUT, Daemon, Left, anomaly, watching
from tests.vm.lab import SERVED, SHARE, Machine

GRACE_S = 10
THRESHOLD_S = 2
INTERVAL_S = 1
CIFS_WAITS = re.compile(r"(wait_for_response|compound_send_recv)\+.*\[cifs\]")
STRACE = "strace -f -qq --seccomp-bpf -o /run/strace -e trace=%file,%process"
CALL = re.compile(r"^(\d+) +(\w+)\(")


def own_calls(strace: str) -> list[str]:
    """Return the calls that aod's own process made; a child is no longer it after its execve."""
    lines = [line for line in strace.splitlines() if CALL.match(line)]
    starter = CALL.match(lines[0])
    assert starter is not None
    children: set[str] = set()
    calls = []
    for line in lines:
        match = CALL.match(line)
        assert match is not None
        pid, call = match.groups()
        if call == "execve" and pid != starter[1]:
            children.add(pid)
        elif pid not in children:
            calls.append(line)
    return calls


@pytest.mark.promise
@pytest.mark.timeout(600)
def test_with_the_server_gone_it_touches_nothing_and_ends_in_time(
    vm: Machine, tmp_path: Path
) -> None:
    vm.run(f"for i in $(seq 4); do echo $i > {SERVED}/cold$i; done")
    slow = {"type": "Latency", "default_threshold_ms": 200, "actions": ALL_ACTIONS}
    config = watching(
        {"latency": slow}, watcher={"post_trigger_sec": 300}, shutdown_grace_sec=GRACE_S
    )
    daemon = Daemon.start(vm, config, wrapper=STRACE)
    vm.delay(150)
    vm.run(f"stat {SHARE}/cold1")
    vm.no_delay()
    daemon.wait_for("incident opened")
    vm.stop_smbd()
    vm.start(f"stat {SHARE}/cold2")
    vm.start(f"cat {SHARE}/cold3")
    vm.run("sleep 60", 90)
    vm.run("pkill -TERM -f 'aod [r]un'")
    asked_s = time.monotonic()
    code = daemon.wait(60)
    took_s = time.monotonic() - asked_s
    vm.continue_smbd()

    left = Left(vm, tmp_path)

    assert code == 0
    assert took_s < GRACE_S
    assert left.names == [left.bundles[0].name, "audit.jsonl"]
    manifest = left.manifest()
    assert anomaly(manifest, "latency")["count"] >= 1
    assert manifest["actions"]["debugdata"]["state"] == "ok"
    calls = own_calls(vm.read("/run/strace").decode())
    assert len(calls) > 100
    assert [call for call in calls if str(SHARE) in call] == []


@pytest.mark.promise
@pytest.mark.each_suite
def test_a_request_that_hangs_is_told_while_the_server_is_stopped(
    vm: Machine, tmp_path: Path
) -> None:
    vm.run(f"echo 1 > {SERVED}/cold1")
    hangs = {"type": "Inflight", "threshold_ms": THRESHOLD_S * 1000}
    watched = watching({"inflight": hangs}, watcher={"post_trigger_sec": 10})
    daemon = Daemon.start(vm, {**watched, "watch_interval_sec": INTERVAL_S})
    vm.stop_smbd()
    asking = vm.start(f"stat {SHARE}/cold1")
    daemon.wait_for("incident opened")
    vm.run(f"until [ -s {OUTPUT}/aod_*/manifest.json ]; do sleep 0.1; done")
    first = json.loads(vm.run(f"cat {OUTPUT}/aod_*/manifest.json").stdout)
    servers = set(vm.run("ps -o stat= -C smbd").stdout.split())
    vm.run("sleep 15")
    vm.continue_smbd()
    answered = asking.wait()
    daemon.wait_for("bundle sealed")
    daemon.stop()

    assert answered == 0
    assert {state[0] for state in servers} == {"T"}
    assert first["state"] == "collecting"
    told = anomaly(first, "inflight")
    event = told["worst"]
    assert (event["kind"], event["share"], event["comm"]) == ("unanswered", "share", "stat")
    sent_ns = event["time_ns"] - event["latency_ns"] + event["queue_ns"]
    waited_s = (told["timestamp"] - first["wall_minus_monotonic_ns"] - sent_ns) / 1e9
    assert THRESHOLD_S <= waited_s <= THRESHOLD_S + 2 * INTERVAL_S
    stacks = [" ".join(event["stack"]) for event in told["events"] if "stack" in event]
    assert any(CIFS_WAITS.search(stack) for stack in stacks)
    sealed = anomaly(Left(vm, tmp_path).manifest(), "inflight")
    assert sealed["count"] == told["count"]
    assert sealed["repeats"] >= 1


def test_smbinfo_leaves_a_server_alone_that_does_not_answer(vm: Machine, tmp_path: Path) -> None:
    vm.run(f"for i in $(seq 4); do echo $i > {SERVED}/cold$i; done")
    vm.mount("/mnt/second", options="nosharesock,vers=3.1.1,username=alice,password=pw")
    vm.run(f"head -c1 {SHARE}/cold1; head -c1 /mnt/second/cold1")
    serving = "ss -tnpH state established sport = :445 | grep -o 'pid=[0-9]*' | cut -d= -f2"
    first_smbd = min(int(pid) for pid in vm.run(serving).stdout.split())
    slow = {"type": "Latency", "default_threshold_ms": 400, "actions": ["smbinfo"]}
    daemon = Daemon.start(vm, watching({"latency": slow}))
    # A request of the second connection is slow, while one of the first hangs.
    vm.run(f"kill -STOP {first_smbd}")
    hung = vm.start(f"stat {SHARE}/cold2")
    vm.run("sleep 2")
    vm.delay(300)
    vm.run("stat /mnt/second/cold3")
    vm.no_delay()
    daemon.wait_for("bundle sealed")
    vm.run(f"kill -CONT {first_smbd}")
    hung.wait()
    daemon.stop()

    result = Left(vm, tmp_path).manifest()["actions"]["smbinfo"]

    assert result["state"] == "skipped"
    assert "a request has been waiting for" in result["reason"]
