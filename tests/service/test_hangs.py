"""What hangs: told while it does, with its thread; what only waits, or is ours, is not."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from aod.actions.action import Context, Result
from aod.actions.output import Output
from aod.bundle import OutputDirectory
from aod.config import Config
from aod.detectors import detection
from aod.host import threads
from aod.service import service as service_module
from aod.smb import Command as Smb
from aod.smb.names import Names
from aod.tracer.own import OwnProcesses
from tests.conftest import Collect, Logged, make_config, names_in
from tests.events import MS
from tests.fakes import FakeTracer, only_manifest, running, slow

Script = dict[str, Collect]


@pytest.mark.parametrize(
    ("waited_ms", "expected"), [(0, ""), (3000, "a request has been waiting for 3 s")]
)
async def test_a_share_with_an_old_request_is_left_alone(
    output: OutputDirectory,
    tracer: FakeTracer,
    script: Script,
    logged: Logged,
    waited_ms: int,
    expected: str,
) -> None:
    async def asks(context: Context, out: Output) -> Result:
        return Result("skipped", context.guard.objection("nas") or "")

    script["dmesg"] = asks
    tracer.sent_ns -= waited_ms * MS
    async with running(make_config(output.path), output, tracer) as send:
        send(slow())
        await logged.until("bundle sealed")

    assert (await only_manifest(output))["actions"]["dmesg"]["reason"] == expected


def watching_requests(output: OutputDirectory, threshold_ms: float, **keys: Any) -> Config:
    hangs = {"type": "Inflight", "threshold_ms": threshold_ms, "actions": ["dmesg"]}
    anomalies = {"anomalies": {"inflight": hangs}}
    return make_config(output.path, guardian=anomalies, watch_interval_sec=0.1, **keys)


async def test_a_request_that_hangs_becomes_a_bundle_with_its_threads_stack(
    output: OutputDirectory,
    tracer: FakeTracer,
    script: Script,
    logged: Logged,
    waiting_thread: None,
) -> None:
    tracer.sent_ns -= 6000 * MS

    async with running(watching_requests(output, 5000), output, tracer):
        await logged.until("bundle sealed")

    manifest = await only_manifest(output)
    (anomaly,) = manifest["anomalies"]
    (event,) = anomaly["events"]
    assert (anomaly["anomaly"], anomaly["count"], anomaly["emergency"]) == ("inflight", 1, False)
    assert (event["kind"], event["command"], event["comm"]) == ("unanswered", "SMB2_READ", "cat")
    assert event["time_ns"] - event["latency_ns"] == tracer.sent_ns
    assert event["latency_ns"] > 6000 * MS
    assert event["stack"] == ["wait_for_response+0x9f/0x110 [cifs]"]
    assert anomaly["first"] < event["time"]


async def test_a_hang_that_lasts_is_one_request_in_one_bundle(
    output: OutputDirectory, tracer: FakeTracer, script: Script, logged: Logged
) -> None:
    watcher = {"actions": ["dmesg"], "post_trigger_sec": 1}
    config = watching_requests(output, 100, watcher=watcher)

    async with running(config, output, tracer):
        await logged.until("bundle sealed")
        await logged.until("anomaly held back")

    (anomaly,) = (await only_manifest(output))["anomalies"]
    assert anomaly["repeats"] >= 1
    assert (anomaly["count"], len(anomaly["events"])) == (1, 1)
    assert anomaly["worst"]["latency_ns"] >= 200 * MS


async def test_a_stack_that_cannot_be_read_does_not_hold_the_anomaly_back(
    output: OutputDirectory,
    tracer: FakeTracer,
    script: Script,
    logged: Logged,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    locked = threading.Event()
    monkeypatch.setattr(detection, "LOOKUP_S", 0.05)
    monkeypatch.setattr(threads, "waiting_for", lambda events: locked.wait(20))
    tracer.sent_ns -= 6000 * MS

    async with running(watching_requests(output, 5000), output, tracer):
        await logged.until("the waiting threads could not be looked at")
        await logged.until("bundle sealed")
        locked.set()

    assert (await only_manifest(output))["anomalies"][0]["count"] == 1


async def test_a_request_that_cifs_has_given_up_is_forgotten_and_does_not_hang(
    output: OutputDirectory,
    tracer: FakeTracer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    logged: Logged,
) -> None:
    (tmp_path / "DebugData").write_text("1) ConnectionId: 0x0 Hostname: nas\n\tMIDs:\n")
    monkeypatch.setattr(service_module, "Names", lambda: Names(tmp_path / "DebugData"))
    tracer.sent_ns -= 10_000_000_000
    async with running(watching_requests(output, 1000), output, tracer):
        await logged.until("request given up by cifs")
        await tracer.scans.acquire()

    assert tracer.forgotten[0] == (0, 0)
    assert names_in(output.path) == ["audit.jsonl"]


async def test_a_request_that_cifs_has_given_up_is_an_error(
    output: OutputDirectory,
    tracer: FakeTracer,
    tmp_path: Path,
    script: Script,
    monkeypatch: pytest.MonkeyPatch,
    logged: Logged,
) -> None:
    (tmp_path / "DebugData").write_text("1) ConnectionId: 0x0 Hostname: nas\n\tMIDs:\n")
    monkeypatch.setattr(service_module, "Names", lambda: Names(tmp_path / "DebugData"))
    tracer.sent_ns -= 10_000_000_000
    fails = {"type": "Error", "acceptable_count": 0, "actions": ["dmesg"]}
    config = make_config(
        output.path, guardian={"anomalies": {"error": fails}}, watch_interval_sec=0.1
    )

    async with running(config, output, tracer):
        await logged.until("bundle sealed")

    (anomaly,) = (await only_manifest(output))["anomalies"]
    (event,) = anomaly["events"]
    assert (event["kind"], event["error"], event["command"]) == ("unanswered", "EIO", "SMB2_READ")


async def test_a_request_that_waits_by_nature_is_never_looked_up(
    output: OutputDirectory, tracer: FakeTracer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "DebugData").write_text("1) ConnectionId: 0x0 Hostname: nas\n\tMIDs:\n")
    monkeypatch.setattr(service_module, "Names", lambda: Names(tmp_path / "DebugData"))
    tracer.command = Smb.SMB2_CHANGE_NOTIFY
    tracer.sent_ns -= 10_000_000_000
    async with running(watching_requests(output, 1000), output, tracer):
        for _ in range(3):
            await tracer.scans.acquire()

    assert tracer.forgotten == []
    assert names_in(output.path) == ["audit.jsonl"]


async def test_a_request_of_our_own_does_not_hang(
    output: OutputDirectory, tracer: FakeTracer, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = OwnProcesses()
    with own.own(7):
        tracer.sent_ns = time.monotonic_ns()
    tracer.sent_ns -= 6000 * MS
    monkeypatch.setattr("aod.tracer.watcher.OwnProcesses", lambda: own)

    async with running(watching_requests(output, 5000), output, tracer):
        for _ in range(3):
            await tracer.scans.acquire()

    assert names_in(output.path) == ["audit.jsonl"]
