"""`aod run` against a real cifs mount: what happens there is in the bundle, and nothing else."""

import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

from aod.events import EVENT
from tests.vm.daemon import ALL_ACTIONS, AOD, OUTPUT, SHIPPED, Daemon, Left, anomaly, watching
from tests.vm.lab import SERVED, SHARE, Lab, Machine

# The thread of a connection lets the module go a moment after the unmount.
UNLOAD = "timeout 20 sh -c 'until rmmod cifs 2> /dev/null; do sleep 0.1; done'"
LATENCY = {"type": "Latency", "default_threshold_ms": 200}
EVERYTHING = {"type": "Latency", "default_threshold_ms": 0, "emergency_threshold_ms": 60_000}


def files(vm: Machine, count: int) -> str:
    """Make files on the server's side, unknown to the client; return a loop that stats them."""
    vm.run(f"cd {SERVED} && for i in $(seq {count}); do echo $i > cold$i; done")
    return f"for i in $(seq {count}); do stat {SHARE}/cold$i > /dev/null; done"


@pytest.fixture(scope="module")
def slow_share(lab: Lab, payload: Path, tmp_path_factory: pytest.TempPathFactory) -> Left:
    """What the shipped config leaves of a share that gets slow."""
    with lab.machine(payload) as vm:
        stats = files(vm, 30)
        daemon = Daemon.start(vm)
        vm.run(stats)
        vm.delay(150)
        vm.run(stats, 120)
        vm.no_delay()
        daemon.wait_for("bundle sealed")
        assert daemon.stop() == 0
        return Left(vm, tmp_path_factory.mktemp("slow"))


@pytest.mark.promise
@pytest.mark.each_suite
def test_a_slow_share_leaves_one_bundle_that_tells_all(slow_share: Left) -> None:
    assert slow_share.names == [slow_share.bundles[0].name, "audit.jsonl"]
    manifest = slow_share.manifest()
    assert (manifest["state"], manifest["trigger"]) == ("sealed", "latency")
    slow = anomaly(manifest, "latency")
    assert slow["count"] > 3
    assert 0 < slow["usual_latency_ns"] < 200_000_000
    for event in slow["events"]:
        assert event["latency_ns"] >= event["threshold_ns"] == 200_000_000
        assert event["latency_ns"] == event["queue_ns"] + event["server_ns"]
        assert (event["server"], event["share"], event["comm"]) == ("127.0.0.1", "share", "stat")
        assert event["command"].startswith("SMB2_")
        assert event["pid"] > 0
    assert manifest["lost"] == {"events": 0, "batches": 0, "anomalies": 0}


@pytest.mark.promise
def test_every_configured_action_has_a_result(slow_share: Left) -> None:
    results = slow_share.manifest()["actions"]

    states = {name: result["state"] for name, result in results.items()}
    assert states.pop("syslogs") == "skipped"
    assert states == dict.fromkeys(set(ALL_ACTIONS) - {"syslogs"}, "ok")


@pytest.mark.promise
def test_the_files_of_a_bundle_hold_what_they_promise(slow_share: Left, tmp_path: Path) -> None:
    (tmp_path / "events.npy").write_bytes(slow_share.member("events.npy"))
    events = np.load(tmp_path / "events.npy")
    assert events.dtype == EVENT
    assert len(slow_share.member("events.csv").splitlines()) == 1 + events.size
    assert b"ConnectionId: 0x" in slow_share.member("debugdata.txt")
    assert rb"\\127.0.0.1\share" in slow_share.member("stats.txt")
    assert b"/mnt/share cifs" in slow_share.member("mounts.txt")
    assert b"smbinfo fileallinfo /mnt/share" in slow_share.member("smbinfo.txt")
    assert slow_share.member("dmesg.txt")
    (tmp_path / "packets.pcap").write_bytes(slow_share.member("tcpdump.pcap"))
    read = ["tcpdump", "-nn", "-r", str(tmp_path / "packets.pcap")]
    packets = subprocess.run(read, check=True, capture_output=True, text=True).stdout
    assert ".445: Flags" in packets
    summary = slow_share.member("summary.txt").decode()
    assert "operations on //127.0.0.1/share were slow, SMB2_" in summary
    assert "ms before this; the worst took" in summary


@pytest.mark.promise
def test_the_audit_log_tells_what_aod_did(slow_share: Left) -> None:
    audit = slow_share.audit()

    (attached,) = [line for line in audit if line["event"] == "attach"]
    assert "kprobe/smb_send_rqst" in attached["programs"]
    argvs = [line["argv"] for line in audit if line["event"] == "child"]
    children = {argv[argv.index("--") + 1] for argv in argvs}
    assert {"/usr/bin/dmesg", "/usr/bin/tcpdump"} <= children
    (config,) = [line for line in audit if line["event"] == "config"]
    assert len(config["sha256"]) == 64


@pytest.mark.promise
def test_one_operation_over_a_second_is_an_emergency(vm: Machine, tmp_path: Path) -> None:
    stat_one = files(vm, 1)
    daemon = Daemon.start(vm, watching({"latency": {**LATENCY, "acceptable_count": 1000}}))
    vm.delay(700)
    vm.run(stat_one)
    vm.no_delay()
    daemon.wait_for("bundle sealed")
    daemon.stop()

    slow = anomaly(Left(vm, tmp_path).manifest(), "latency")

    assert slow["emergency"]
    assert slow["worst"]["latency_ns"] > 1_000_000_000


@pytest.mark.promise
@pytest.mark.each_suite
def test_a_file_that_may_not_be_opened_is_an_error(vm: Machine, tmp_path: Path) -> None:
    vm.run(f"cd {SERVED} && echo secret > closed && chmod 600 closed && chown root closed")
    daemon = Daemon.start(
        vm, watching({"error": {"type": "Error", "mode": "trackonly", "track_codes": ["EACCES"]}})
    )
    refused = vm.run(f"cat {SHARE}/closed", check=False)
    daemon.wait_for("bundle sealed")
    daemon.stop()

    failed = anomaly(Left(vm, tmp_path).manifest(), "error")

    assert "Permission denied" in refused.stderr
    assert {event["status"] for event in failed["events"]} == {"STATUS_ACCESS_DENIED"}
    assert {event["error"] for event in failed["events"]} == {"EACCES"}
    assert failed["worst"]["comm"] == "cat"
    assert failed["events"][0]["command"] == "SMB2_CREATE"


@pytest.mark.timeout(400)
def test_a_storm_of_a_minute_is_one_bundle_with_its_count(vm: Machine, tmp_path: Path) -> None:
    files(vm, 400)
    daemon = Daemon.start(vm, AOD_GUARDIAN__ANOMALIES__LATENCY__DEFAULT_THRESHOLD_MS="100")
    vm.delay(60)
    storm = f"""
        end=$((SECONDS + 60)); n=0
        while [ $SECONDS -lt $end ] && [ $n -lt 400 ]; do
            n=$((n + 1)); stat {SHARE}/cold$n > /dev/null
        done
        echo $n"""
    operations = int(vm.run(storm, 120).stdout)
    vm.no_delay()
    daemon.stop()

    left = Left(vm, tmp_path)

    assert len(left.bundles) == 1
    in_bundle = anomaly(left.manifest(), "latency")["count"]
    (held_back,) = [line for line in daemon.log().splitlines() if "held back until" in line]
    later = int(held_back.rpartition("count=")[2])
    assert in_bundle + later >= operations


def test_a_healthy_share_leaves_no_bundle(vm: Machine, tmp_path: Path) -> None:
    daemon = Daemon.start(vm)
    vm.run(
        f"""cd {SHARE}
        for i in $(seq 40); do
            echo $i > f$i; cat f$i > /dev/null; ls missing$i 2> /dev/null; mv f$i g$i; rm g$i
        done
        dd if=/dev/zero of=big bs=64k count=32 conv=fsync status=none
        ls -la > /dev/null""",
        120,
    )
    code = daemon.stop()

    left = Left(vm, tmp_path)

    assert code == 0
    assert left.names == ["audit.jsonl"]
    assert "incident" not in daemon.log()


@pytest.mark.promise
@pytest.mark.each_suite
def test_23_known_writes_are_seen_as_23(vm: Machine, tmp_path: Path) -> None:
    daemon = Daemon.start(vm, watching({"latency": EVERYTHING}))
    counted = "awk '/^Writes:/ {n += $2} END {print n}' /proc/fs/cifs/Stats"
    before = int(vm.run(counted).stdout)
    vm.run(f"dd if=/dev/zero of={SHARE}/known bs=4096 count=23 oflag=direct status=none")
    after = int(vm.run(counted).stdout)
    daemon.wait_for("bundle sealed")
    daemon.stop()

    events = anomaly(Left(vm, tmp_path).manifest(), "latency")["events"]

    writes = [event for event in events if event["command"] == "SMB2_WRITE"]
    assert len(writes) == after - before == 23
    assert {(event["kind"], event["comm"]) for event in writes} == {("completed", "dd")}
    assert {event["status"] for event in writes} == {"STATUS_SUCCESS"}
    assert all(event["request_bytes"] > 4096 for event in writes)


@pytest.mark.promise
def test_sigterm_seals_the_open_bundle_and_detaches(vm: Machine, tmp_path: Path) -> None:
    stat_one = files(vm, 1)
    slow_end = {"post_trigger_sec": 300}
    daemon = Daemon.start(vm, watching({"latency": EVERYTHING}, watcher=slow_end))
    vm.run(stat_one)
    daemon.wait_for("incident opened")
    code = daemon.stop(timeout_s=20)

    left = Left(vm, tmp_path)

    assert code == 0
    assert left.manifest()["state"] == "sealed"
    assert left.names == [left.bundles[0].name, "audit.jsonl"]
    assert "attach" in {line["event"] for line in left.audit()}
    assert vm.run("bpftool prog show | grep -c kprobe", check=False).stdout == "0\n"


@pytest.mark.promise
def test_a_killed_daemon_leaves_a_whole_bundle_at_the_next_start(
    vm: Machine, tmp_path: Path
) -> None:
    stat_one = files(vm, 1)
    slow_end = {"post_trigger_sec": 300}
    config = watching({"latency": {**EVERYTHING, "actions": ALL_ACTIONS}}, watcher=slow_end)
    daemon = Daemon.start(vm, config)
    vm.run(stat_one)
    daemon.wait_for("incident opened")
    vm.run(f"timeout 20 bash -c 'until [ -e {OUTPUT}/aod_*/manifest.json ]; do sleep 0.1; done'")
    daemon.signal(signal.SIGKILL)
    daemon.wait()
    Daemon.start(vm, config).stop()

    left = Left(vm, tmp_path)

    assert left.manifest()["state"] == "interrupted"
    assert anomaly(left.manifest(), "latency")["events"]
    assert "interrupted" in left.member("summary.txt").decode()
    assert left.names == [left.bundles[0].name, "audit.jsonl"]
    assert vm.run("pgrep tcpdump", check=False).stdout == ""


def test_without_cifs_it_waits_and_attaches_when_cifs_comes(vm: Machine) -> None:
    vm.umount()
    vm.run(UNLOAD)
    daemon = Daemon.start(vm, ready="waiting for it")
    vm.run("modprobe cifs")
    daemon.wait_for("attached", timeout_s=20)

    assert daemon.stop() == 0


def test_while_it_waits_for_cifs_it_ends_on_sigterm(vm: Machine) -> None:
    vm.umount()
    vm.run(UNLOAD)
    daemon = Daemon.start(vm, ready="waiting for it")

    assert daemon.stop() == 0


@pytest.mark.promise
@pytest.mark.parametrize(
    ("directory", "says"),
    [(f"{SHARE}/out", "lies on the cifs mount"), ("/proc/aod", "cannot create")],
)
def test_an_output_directory_that_will_not_do_is_refused(
    vm: Machine, directory: str, says: str
) -> None:
    command = f"AOD_OUTPUT_DIR={directory} {AOD} run --config {SHIPPED}"

    ended = vm.run(command, check=False)

    assert ended.code == 2
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_ordinary_user_is_told_to_run_it_as_root(vm: Machine) -> None:
    vm.run("mkdir -p /run/out && chown nobody /run/out")
    ended = vm.run(
        "AOD_OUTPUT_DIR=/run/out setpriv --reuid nobody --clear-groups "
        f"{AOD} run --config {SHIPPED}",
        check=False,
    )

    assert ended.code == 1
    assert "run aod as root" in ended.stderr
