"""Every request once: compared with the counters that cifs itself keeps."""

import json
from typing import Any

import pytest

from aod.events import Count
from tests.vm.daemon import AOD, wait_for_probes
from tests.vm.lab import SERVED, SHARE, Job, Machine

COUNTED = "awk '/^SMBs:/ {n += $2} END {print n}' /proc/fs/cifs/Stats"
WAIT_S = 3
CLOSED = "sleep 2"
"""A file that a program has closed is closed at the server a second later (closetimeo)."""
LEDGER = "bpftool -j map dump name ledger"


def start_trace(vm: Machine) -> Job:
    """Start `aod trace` of everything and wait until it is attached."""
    job = vm.start(f"exec {AOD} trace --threshold-ms 0 --json > /run/trace")
    wait_for_probes(vm)
    return job


def stop_trace(vm: Machine, job: Job) -> list[dict[str, Any]]:
    """End it and return the operations that it printed."""
    job.signal()
    assert job.wait() == 0
    return [json.loads(line) for line in vm.read("/run/trace").decode().splitlines()]


def open_requests(vm: Machine) -> int:
    """Return how many requests have not ended, by the kernel's own counters."""
    rows = [row["formatted"]["value"]["counts"] for row in json.loads(vm.run(LEDGER).stdout)]
    counts = [sum(of_each_cpu) for of_each_cpu in zip(*rows, strict=True)]
    ended = (Count.COMPLETED, Count.ABORTED, Count.UNTRACKED)
    return int(counts[Count.REQUESTS] - sum(counts[count] for count in ended))


def traced(vm: Machine, command: str) -> tuple[list[dict[str, Any]], int]:
    """Trace a command; return its operations and how many requests cifs counted meanwhile."""
    job = start_trace(vm)
    vm.run(CLOSED)
    before = int(vm.run(COUNTED).stdout)
    shown = len(vm.read("/run/trace").splitlines())
    vm.run(f"{command}; {CLOSED}", 120, check=False)
    after = int(vm.run(COUNTED).stdout)
    assert open_requests(vm) == 0
    rows = stop_trace(vm, job)[shown:]
    operations = [row for row in rows if row["command"] != "SMB2_ECHO"]
    return operations, after - before


@pytest.mark.promise
@pytest.mark.each_suite
def test_missing_files_and_a_failing_rename_are_each_told_once(vm: Machine) -> None:
    vm.run(f"mkdir -p {SERVED}/full/x && chown -R alice {SERVED}/full && echo > {SERVED}/plain")
    stats = f"for i in $(seq 200); do stat {SHARE}/missing$i; done"
    rename = f"mkdir {SHARE}/empty; mv -T {SHARE}/empty {SHARE}/full"

    operations, counted = traced(vm, f"{stats} 2> /dev/null; {rename}")

    ids = {(row["connection_id"], row["message_id"]) for row in operations}
    assert len(ids) == len(operations) == counted
    missing = [row for row in operations if row["status"] == "STATUS_OBJECT_NAME_NOT_FOUND"]
    heads = [row for row in missing if "secondary" not in row["flags"]]
    assert len({row["message_id"] for row in heads if row["comm"] == "stat"}) >= 200
    failed = [row for row in operations if row["command"] == "SMB2_SET_INFO" and row["error"]]
    assert failed


def test_a_file_id_is_that_of_the_open_file(vm: Machine) -> None:
    vm.run(f"echo content > {SERVED}/held")
    job = start_trace(vm)
    reader = vm.start(f"exec 3< {SHARE}/held; head -c3 <&3 >&2; sleep 30")
    vm.run("timeout 20 bash -c 'until grep -q held /proc/fs/cifs/open_files; do sleep 0.1; done'")
    vm.run("sleep 1")
    held = vm.run("grep held /proc/fs/cifs/open_files").stdout
    reader.signal()
    operations = stop_trace(vm, job)

    reads = {(row["file_id"], row["file"]) for row in operations if row["command"] == "SMB2_READ"}
    ((file_id, name),) = reads
    assert file_id in held.lower().split()
    assert name == "held"


def test_big_reads_and_writes_are_counted_whole(vm: Machine) -> None:
    copy = (
        f"dd if=/dev/zero of={SHARE}/big bs=1M count=8 conv=fsync status=none; "
        f"echo 3 > /proc/sys/vm/drop_caches; dd if={SHARE}/big of=/dev/null bs=1M status=none"
    )

    operations, counted = traced(vm, copy)

    assert len(operations) == counted
    written = sum(row["request_bytes"] for row in operations if row["command"] == "SMB2_WRITE")
    assert written >= 8 << 20
    assert {row["kind"] for row in operations} == {"completed"}
    reads = [row for row in operations if row["command"] == "SMB2_READ" and "async" in row["flags"]]
    assert sum(row["response_bytes"] for row in reads) >= 8 << 20
    assert all(row["payload_ns"] > 0 for row in reads)


def test_what_a_lost_connection_takes_along_is_aborted(vm: Machine) -> None:
    vm.run(f"for i in 1 2; do echo $i > {SERVED}/cold$i; done; cat {SHARE}/cold1")
    job = start_trace(vm)
    smbd = vm.run("ss -tnpH state established sport = :445 | grep -o 'pid=[0-9]*'").stdout
    pid = int(smbd.removeprefix("pid="))
    vm.run(f"kill -STOP {pid}")
    hung = vm.start(f"stat {SHARE}/cold2")
    vm.run(f"sleep 1; kill -KILL {pid}")
    assert hung.wait(90) == 0
    assert open_requests(vm) == 0

    operations = stop_trace(vm, job)

    aborted = [row for row in operations if row["kind"] == "aborted"]
    assert {(row["error"], row["comm"]) for row in aborted} == {("EAGAIN", "stat")}
    assert all(row["latency_ns"] > 1_000_000_000 for row in aborted)
    answered = {row["command"] for row in operations if row["kind"] == "completed"}
    assert {"SMB2_NEGOTIATE", "SMB2_SESSION_SETUP", "SMB2_TREE_CONNECT"} <= answered


LOCKS = """
import fcntl, os, time
held = open("{share}/locked", "r+")
fcntl.lockf(held, fcntl.LOCK_EX)
ready, about = os.pipe()
if os.fork():
    os.read(ready, 1)
    time.sleep({wait_s})
    fcntl.lockf(held, fcntl.LOCK_UN)
    os.wait()
else:
    wanted = open("/mnt/second/locked", "r+")
    os.write(about, b"!")
    fcntl.lockf(wanted, fcntl.LOCK_EX)
"""


def test_a_lock_that_waits_is_pended_and_its_latency_is_the_wait(vm: Machine) -> None:
    vm.run(f"echo > {SERVED}/locked; chown alice {SERVED}/locked")
    vm.mount("/mnt/second", options="nosharesock,vers=3.1.1,username=alice,password=pw")
    vm.write("/run/locks.py", LOCKS.format(share=SHARE, wait_s=WAIT_S).encode())

    operations, counted = traced(vm, "python3 /run/locks.py")

    assert len(operations) == counted
    waited = [
        row for row in operations if row["command"] == "SMB2_LOCK" and "pended" in row["flags"]
    ]
    assert [round(row["latency_ns"] / 1e9 - WAIT_S, 1) for row in waited] == [
        pytest.approx(0, abs=0.2)
    ]
