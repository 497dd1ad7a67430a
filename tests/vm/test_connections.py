"""Connections that are lost, and threads that wait for credits, on a real mount."""

import re
from pathlib import Path

import pytest

from tests.vm.daemon import Daemon, Left, anomaly, watching
from tests.vm.lab import SERVED, SHARE, Machine

FEW_CREDITS = "/mnt/few"
CREDIT_WAIT = re.compile(r"(wait_for_free_credits|wait_for_compound_request|compound_send_recv)\+")


def test_threads_that_wait_for_credits_are_told_while_they_do(vm: Machine, tmp_path: Path) -> None:
    options = "nosharesock,max_credits=20,vers=3.1.1,username=alice,password=pw,actimeo=0"
    vm.mount(FEW_CREDITS, options=options)
    vm.run(f"ls {FEW_CREDITS}")
    hangs = {"type": "Inflight", "threshold_ms": 3000, "processes": ["stat"]}
    starved = {"type": "Credits", "acceptable_count": 3}
    watched = {"inflight": hangs, "credits": starved}
    daemon = Daemon.start(vm, watching(watched, watcher={"post_trigger_sec": 15}))
    vm.stop_smbd()
    vm.run(f"for i in $(seq 40); do stat {FEW_CREDITS}/none$i > /run/stat$i 2>&1 & done")
    daemon.wait_for("incident opened")
    vm.run("sleep 4")
    vm.continue_smbd()
    daemon.wait_for("bundle sealed")
    daemon.stop()

    manifest = Left(vm, tmp_path).manifest()

    hung = anomaly(manifest, "inflight")["events"]
    waiting = [event for event in hung if not event["command"]]
    sent = {event["tid"] for event in hung if event["command"]}
    assert waiting
    assert sent
    assert {event["comm"] for event in waiting} == {"stat"}
    assert all(event["latency_ns"] == event["queue_ns"] >= 3e9 for event in waiting)
    stacks = [" ".join(event["stack"]) for event in waiting if "stack" in event]
    assert all(CREDIT_WAIT.search(stack) for stack in stacks)
    waits = anomaly(manifest, "credits")["events"]
    assert {event["cause"] for event in waits} == {"credits_awaited"}
    assert max(event["latency_ns"] for event in waits) > 3e9
    assert {event["server"] for event in waits} == {"127.0.0.1"}


@pytest.mark.promise
def test_a_lost_connection_is_an_anomaly_of_its_share(vm: Machine, tmp_path: Path) -> None:
    vm.run(f"for i in 1 2; do echo $i > {SERVED}/cold$i; done; cat {SHARE}/cold1")
    here = {"type": "Reconnect", "shares": ["//127.0.0.1/share"], "per": "share"}
    elsewhere = {"type": "Reconnect", "shares": ["//elsewhere/*"]}
    daemon = Daemon.start(vm, watching({"here": here, "elsewhere": elsewhere}))
    serving = "ss -tnpH state established sport = :445 | grep -o 'pid=[0-9]*'"
    vm.run(f"kill -KILL $({serving} | cut -d= -f2)")
    vm.run(f"stat {SHARE}/cold2", 90)
    daemon.wait_for("bundle sealed")
    daemon.stop()

    manifest = Left(vm, tmp_path).manifest()

    told = anomaly(manifest, "here")
    assert [each["name"] for each in manifest["anomalies"]] == ["here"]
    assert {event["kind"] for event in told["events"]} == {"reconnect"}
    assert told["events"][0]["server"] == "127.0.0.1"
    assert told["shares"] == ["//127.0.0.1"]


def test_an_operation_on_a_dead_server_sends_nothing_and_is_told(
    vm: Machine, tmp_path: Path
) -> None:
    gone = {"type": "Error", "mode": "trackonly", "track_codes": ["EHOSTDOWN"]}
    daemon = Daemon.start(vm, watching({"gone": gone}))
    vm.run("kill -KILL $(pidof smbd)")
    failed = vm.run(f"stat {SHARE}/none", 90, check=False)
    daemon.wait_for("bundle sealed")
    daemon.stop()

    manifest = Left(vm, tmp_path).manifest()

    assert "Host is down" in failed.stderr
    (event, *_) = anomaly(manifest, "gone")["events"]
    assert (event["kind"], event["error"], event["comm"]) == ("unsent", "EHOSTDOWN", "stat")
    assert event["command"] == ""
