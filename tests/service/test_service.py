"""The service from the ring to the sealed bundle, with a tracer that is made up."""

import asyncio
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from aod.actions.action import Context, Result
from aod.actions.output import Output
from aod.actions.program import run
from aod.bundle import Bundle, OutputDirectory
from aod.bundle.manifest import Manifest
from aod.commands.loop import first_failure
from aod.detectors.anomaly import Anomaly
from aod.detectors.detection import DetectorSpec
from aod.detectors.detector import Detector
from aod.errors import BundleError, HostError
from aod.events import Events, Kind
from aod.processes.command import Command
from aod.runtime import supervisor
from aod.runtime.audit import part_of
from aod.service import service as service_module
from aod.service.serve import serve
from aod.service.signals import Signals
from aod.smb import Command as Smb
from aod.smb import module
from aod.smb.filter import Filter
from aod.smb.names import Names
from tests import ROOT
from tests.conftest import Collect, Logged, Notes, make_anomaly, make_config, names_in
from tests.disk import held_shut
from tests.events import MS, make
from tests.fakes import FakeTracer, all_manifests, make_service, only_manifest, running, slow

Script = dict[str, Collect]
CutOff = tuple[OutputDirectory, Callable[[str], None]]


async def test_a_slow_operation_becomes_a_sealed_bundle(
    output: OutputDirectory, tracer: FakeTracer, script: Script, logged: Logged
) -> None:
    async with running(make_config(output.path), output, tracer) as send:
        send(slow())
        await logged.until("bundle sealed")

    manifest = await only_manifest(output)
    (anomaly,) = manifest["anomalies"]
    (event,) = anomaly["events"]
    assert (anomaly["name"], anomaly["count"]) == ("latency", 1)
    assert 8 * MS < anomaly["usual_latency_ns"] < 17 * MS
    assert (event["command"], event["comm"], event["threshold_ns"]) == (
        "SMB2_READ",
        "cat",
        200 * MS,
    )
    assert abs(manifest["timestamp"] - time.time_ns()) < 60_000_000_000
    assert {name: result["state"] for name, result in manifest["actions"].items()} == {
        "dmesg": "ok",
        "stats": "ok",
    }
    assert [name.endswith((".tar.zst", "audit.jsonl")) for name in names_in(output.path)] == [
        True,
        True,
    ]


async def test_a_slow_operation_is_told_with_its_file_though_that_is_closed_soon(
    output: OutputDirectory,
    tracer: FakeTracer,
    script: Script,
    logged: Logged,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = tmp_path / "open_files"
    files.write_text("# <tree id> <ses id> <persistent fid> <filename>\n0x5 0x7 0x1f film.mkv\n")
    monkeypatch.setattr(service_module, "Names", lambda: Names(tmp_path / "DebugData"))

    async def closes(context: Context, out: Output) -> Result:
        await asyncio.to_thread(files.write_text, "")
        return Result()

    script["dmesg"] = closes
    operation = slow()
    operation["session_id"], operation["tree_id"], operation["file_id"] = 7, 5, 0x1F
    async with running(make_config(output.path), output, tracer) as send:
        send(operation)
        await logged.until("bundle sealed")

    assert (await only_manifest(output))["anomalies"][0]["worst"]["file"] == "film.mkv"


async def test_a_tree_connect_has_the_names_read_anew(
    output: OutputDirectory,
    tracer: FakeTracer,
    script: Script,
    logged: Logged,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Watched(Names):
        def look_up(self, events: Events, *, sparing: bool = False) -> None:
            if Kind.TREE_CONNECT in events["kind"]:
                loop.call_soon_threadsafe(read.set)

    monkeypatch.setattr(service_module, "Names", lambda: Watched(tmp_path / "DebugData"))
    connect = make(time.monotonic_ns())
    connect["kind"] = Kind.TREE_CONNECT
    async with running(make_config(output.path), output, tracer) as send:
        send(connect)
        await read.wait()

    assert names_in(output.path) == ["audit.jsonl"]


async def test_a_healthy_operation_makes_no_bundle(
    output: OutputDirectory, tracer: FakeTracer, script: Script
) -> None:
    async with running(make_config(output.path), output, tracer) as send:
        send(make(time.monotonic_ns(), latency_ns=199 * MS, command=Smb.SMB2_READ))

    assert names_in(output.path) == ["audit.jsonl"]


async def test_what_is_in_the_ring_at_the_end_is_handled(
    output: OutputDirectory, tracer: FakeTracer, script: Script
) -> None:
    async with running(make_config(output.path), output, tracer):
        tracer.ring.left = [slow(), slow()]

    assert (await only_manifest(output))["anomalies"][0]["count"] == 2


async def test_a_directory_that_is_removed_is_made_anew_with_its_audit_log(
    output: OutputDirectory, tracer: FakeTracer, script: Script, logged: Logged
) -> None:
    async with running(make_config(output.path), output, tracer) as send:
        await asyncio.to_thread(shutil.rmtree, output.path)
        send(slow())
        await logged.until("bundle sealed")

    assert (await only_manifest(output))["state"] == "sealed"
    notes = [json.loads(line) for line in (output.path / "audit.jsonl").read_text().splitlines()]
    assert "stop" in {note["event"] for note in notes}


@pytest.fixture
def cut_off(tmp_path: Path) -> Iterator[CutOff]:
    """A directory that is gone and cannot be made anew, and what lets it be made."""
    with held_shut(tmp_path) as make, OutputDirectory.open(tmp_path / "logs") as output:
        output.path.rmdir()
        make("ro")
        yield output, make
        make("rw")


async def test_a_directory_that_only_a_new_start_brings_back_ends_the_service(
    cut_off: CutOff, tracer: FakeTracer, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, _ = cut_off
    monkeypatch.setenv("LOGS_DIRECTORY", str(output.path))
    service = make_service(make_config(output.path), output, tracer, Signals())

    with pytest.raises(HostError, match="cannot write to the output directory"):
        await asyncio.wait_for(service.run(), 20)

    assert logged.count("component given up, aod ends component=output directory") == 1


async def test_without_systemd_it_is_told_by_status_until_it_is_mended(
    cut_off: CutOff, tracer: FakeTracer, script: Script, logged: Logged
) -> None:
    output, make = cut_off
    async with running(make_config(output.path), output, tracer) as runs:
        await logged.until("cleanup failed")
        complaints = runs.service.status.complaints
        await asyncio.to_thread(make, "rw")
        runs.send(slow())
        await logged.until("bundle sealed")
        mended = runs.service.status.complaints

    assert [each.startswith("cannot write to the output") for each in complaints] == [True]
    assert mended == ()


async def test_what_the_disk_did_not_let_seal_is_sealed_by_the_clean_up(
    output: OutputDirectory, tracer: FakeTracer, logged: Logged
) -> None:
    with await asyncio.to_thread(Bundle.create, output, 1) as bundle:
        await asyncio.to_thread(bundle.write_manifest, Manifest(1, "collecting"))

    async with running(make_config(output.path), output, tracer):
        await logged.until("leftover sealed as interrupted")

    assert names_in(output.path) == ["aod_0000000000000000001.tar.zst", "audit.jsonl"]


async def test_a_stop_in_an_incident_seals_it_within_the_grace(
    output: OutputDirectory, tracer: FakeTracer, script: Script
) -> None:
    begun = asyncio.Event()

    async def captures(context: Context, out: Output) -> Result:
        begun.set()
        return await run(Command("sleep", ("60",), run_for_s=60), context, out)

    script["dmesg"] = captures
    config = make_config(output.path, shutdown_grace_sec=3)
    async with running(config, output, tracer) as send:
        send(slow())
        await begun.wait()
        started_s = time.monotonic()

    assert time.monotonic() - started_s < 3
    manifest = await only_manifest(output)
    assert (manifest["state"], manifest["actions"]["dmesg"]["state"]) == ("sealed", "cancelled")


async def test_a_stop_while_idle_takes_less_than_a_second(
    output: OutputDirectory, tracer: FakeTracer
) -> None:
    async with running(make_config(output.path), output, tracer):
        started_s = time.monotonic()

    assert time.monotonic() - started_s < 1


async def test_it_is_ready_once_the_probes_are_there_and_they_go_first(
    output: OutputDirectory, tracer: FakeTracer, systemd: Notes
) -> None:
    async with running(make_config(output.path), output, tracer):
        assert systemd()[0].startswith(
            "READY=1\nSTATUS=watching SMB operations; 0 incidents; 0 lost"
        )

    assert systemd()[-1].startswith("STOPPING=1\n")
    assert tracer.calls == ["climb", "detach", "close"]
    assert tracer.filter.thresholds_ns[0, Smb.SMB2_READ] == 200 * MS
    assert tracer.filter.statuses.failures


def audited(output: OutputDirectory) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output.path / "audit.jsonl").read_text().splitlines()]


async def test_the_audit_tells_start_config_probes_children_and_stop(
    output: OutputDirectory, tracer: FakeTracer, script: Script, logged: Logged
) -> None:
    async def child(context: Context, out: Output) -> Result:
        return await run(Command("echo", ("hello",)), context, out)

    script["dmesg"] = child
    config = make_config(output.path)
    async with running(config, output, tracer) as send:
        send(slow())
        await logged.until("bundle sealed")

    start, loaded, attach, child_note, detach, stop = audited(output)
    assert (start["event"], start["aod"]) == ("start", version("aod"))
    assert (loaded["event"], loaded["sha256"]) == ("config", config.fingerprint())
    assert (attach["event"], attach["programs"]) == ("attach", ["kprobe/smb_send_rqst"])
    assert (child_note["event"], child_note["exit_code"]) == ("child", 0)
    assert child_note["argv"][-2:] == ["/usr/bin/echo", "hello"]
    assert (detach["event"], detach["reason"]) == ("detach", "aod ends")
    assert (stop["event"], stop["failure"]) == ("stop", "")


async def test_the_audit_tells_what_was_left_over_and_removed(
    output: OutputDirectory, tracer: FakeTracer
) -> None:
    (output.path / "aod_0000000000000000001").mkdir()
    signals = Signals()
    signals.stop.set()
    service = make_service(make_config(output.path), output, tracer, signals)

    await asyncio.to_thread(service.leftovers.recover)
    await service.run()

    (removed,) = [note for note in audited(output) if note["event"] == "delete"]
    assert (removed["file"], removed["reason"]) == ("aod_0000000000000000001", "leftover")


async def test_the_audit_log_stays_within_a_part_of_what_a_reload_allows(
    output: OutputDirectory, tracer: FakeTracer, logged: Logged
) -> None:
    less = make_config(output.path, cleanup={"max_total_log_size_mb": 1})
    async with running(make_config(output.path), output, tracer, load=lambda: less) as runs:
        assert runs.service.audit.max_bytes == part_of(2048 << 20)
        runs.signals.reload.set()
        await logged.until("config reloaded")

        assert runs.service.audit.max_bytes == part_of(1 << 20)


async def test_a_scope_finds_the_share_of_an_id_that_was_not_known_before(
    output: OutputDirectory,
    tracer: FakeTracer,
    tmp_path: Path,
    script: Script,
    monkeypatch: pytest.MonkeyPatch,
    logged: Logged,
) -> None:
    server = "1) ConnectionId: 0x1 Hostname: nas\nSessionId: 0x5\n"
    tree = "\t1) \\\\nas\\{} Mounts: 1\n\ttid: 0x{}\n"
    text = server + tree.format("media", 1) + tree.format("backup", 2)
    (tmp_path / "DebugData").write_text(text)
    monkeypatch.setattr(service_module, "Names", lambda: Names(tmp_path / "DebugData"))
    slow_backup = {"type": "Latency", "acceptable_count": 0, "actions": ["dmesg"]}
    config = make_config(
        output.path,
        guardian={"anomalies": {"latency": {**slow_backup, "shares": ["//nas/backup"]}}},
    )
    ids = {"connection_id": 1, "session_id": 5, "latency_ns": 300 * MS}

    async with running(config, output, tracer) as send:
        send(make(1, 2, tree_id=[1, 2], **ids))
        await logged.until("bundle sealed")

    (anomaly,) = (await only_manifest(output))["anomalies"]
    assert [event["share"] for event in anomaly["events"]] == ["backup"]


class Broken:
    """A detector with a bug."""

    name = "broken"
    filter = Filter()

    def feed(self, events: Events) -> Anomaly | None:
        raise ZeroDivisionError("bug")


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_S", 0.0)


def break_detector(monkeypatch: pytest.MonkeyPatch, name: str, times: int) -> None:
    """Have the detector of a name fail for so many batches."""
    make, left = DetectorSpec.make, [times]

    def made(spec: DetectorSpec, names: Names) -> Detector:
        if spec.name != name or not left[0]:
            return make(spec, names)
        left[0] -= 1
        return Broken()

    monkeypatch.setattr(DetectorSpec, "make", made)


async def test_a_detector_that_raises_five_times_ends_the_service_and_is_told(
    output: OutputDirectory, tracer: FakeTracer, monkeypatch: pytest.MonkeyPatch, no_pause: None
) -> None:
    break_detector(monkeypatch, "error", times=5)
    service = make_service(make_config(output.path), output, tracer, Signals())
    tracer.ring.first = [slow()] * 5

    async with asyncio.timeout(20):
        with pytest.raises(ZeroDivisionError) as raised:
            await service.run()

    error = first_failure(raised.value)
    assert isinstance(error, HostError)
    assert "ZeroDivisionError('bug')" in str(error)
    assert tracer.calls == ["climb", "detach", "close"]


async def test_what_one_detector_does_wrong_costs_the_others_nothing(
    output: OutputDirectory,
    tracer: FakeTracer,
    script: Script,
    logged: Logged,
    monkeypatch: pytest.MonkeyPatch,
    no_pause: None,
) -> None:
    break_detector(monkeypatch, "error", times=1)
    failed = slow()
    failed["status"], failed["error"] = 0xC0000022, -13

    async with running(make_config(output.path), output, tracer) as send:
        send(slow())
        await logged.until("component started again component=detector error")
        await logged.until("bundle sealed")
        send(failed)
        await logged.until("bundle sealed", times=2)

    names = {each["anomalies"][0]["name"] for each in await all_manifests(output)}
    assert names == {"latency", "error"}


@pytest.mark.skipif(module.is_loaded(), reason="cifs is loaded here")
async def test_without_cifs_it_is_ready_and_waits(
    tmp_path: Path, logged: Logged, systemd: Notes
) -> None:
    config, signals = make_config(tmp_path / "out"), Signals()

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(serve(config, signals, lambda: config))
        await logged.until("cifs is not loaded: waiting for it")
        started_s = time.monotonic()
        signals.stop.set()

    assert systemd()[0].startswith("READY=1\nSTATUS=waiting for cifs")
    assert time.monotonic() - started_s < 0.5


async def test_two_services_do_not_share_a_directory(output: OutputDirectory) -> None:
    output.lock()

    config = make_config(output.path)
    with pytest.raises(HostError, match="another aod writes to it"):
        await serve(config, Signals(), lambda: config)


@pytest.mark.parametrize(("option", "expected"), [("-O", 0), ("-B", 1)])
def test_the_debug_metric_of_a_batch_is_gone_under_o(option: str, expected: int) -> None:
    code = (
        "import logging\n"
        "from aod.events import empty; from aod.service.scan import EventFanOut\n"
        "logging.basicConfig(level='DEBUG')\n"
        "EventFanOut().feed(empty(1))"
    )

    done = subprocess.run(
        [sys.executable, option, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0
    assert done.stderr.count("batch events=1") == expected


def test_a_second_signal_ends_at_once() -> None:
    code = (
        "import asyncio, signal; from aod.commands.run import _stop\n"
        "stop = asyncio.Event(); _stop(stop, signal.SIGTERM); assert stop.is_set()\n"
        "_stop(stop, signal.SIGTERM)"
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60)

    assert done.returncode == 128 + signal.SIGTERM


async def test_a_program_is_told_of_a_bundle_and_of_one_that_a_stop_seals(
    output: OutputDirectory, tracer: FakeTracer, script: Script, logged: Logged, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    command = ["/usr/bin/tee", "-a", str(kept)]
    begun = asyncio.Event()

    async def begins(context: Context, out: Output) -> Result:
        begun.set()
        return Result()

    config = make_config(output.path, notify={"command": command}, incidents={"cooldown_sec": 0})
    async with running(config, output, tracer) as send:
        send(slow())
        await logged.until("bundle sealed")
        script["dmesg"] = begins
        send(slow())
        await begun.wait()

    lines = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [line["outcome"] for line in lines] == ["sealed"] * 2
    assert [Path(line["bundle"]).name for line in lines] == names_in(output.path)[:2]
    assert [line["sentence"][:15] for line in lines] == ["1 operation on "] * 2
    notes = [note for note in audited(output) if note["event"] == "notify"]
    assert [(note["program"], note["exit_code"]) for note in notes] == [("/usr/bin/tee", 0)] * 2
    assert str(kept) not in (output.path / "audit.jsonl").read_text()


async def test_no_argument_of_the_program_that_is_told_stands_in_a_bundle(
    output: OutputDirectory, tracer: FakeTracer, script: Script, logged: Logged
) -> None:
    command = ["/usr/bin/true", "--token", "hunter2"]
    config = make_config(output.path, notify={"command": command})
    async with running(config, output, tracer) as send:
        send(slow())
        await logged.until("bundle sealed")

    manifest = await only_manifest(output)
    assert manifest["config"]["notify"]["command"] == ["/usr/bin/true", "2 arguments left out"]
    assert "hunter2" not in json.dumps(manifest)


async def test_usage_tells_what_becomes_of_each_component(
    output: OutputDirectory, tracer: FakeTracer
) -> None:
    usage = await asyncio.to_thread((ROOT / "USAGE.md").read_text)
    table = usage.partition("#### Supervision\n")[2].partition("\n#### ")[0]
    told = set(re.findall(r"`([^`]+)`", table))

    async with running(make_config(output.path), output, tracer) as runs:
        components = set(runs.service.supervisor.names)

    kinds = {re.sub("^detector .*", "detector NAME", name) for name in components}
    assert kinds <= told
    assert len(kinds) > 10


async def test_who_waits_for_a_bundle_is_told_when_its_anomaly_falls_out_of_the_queue(
    output: OutputDirectory, tracer: FakeTracer, script: Script
) -> None:
    manual = make_anomaly("manual", at_ns=1)

    async with running(make_config(output.path), output, tracer) as runs:
        outcome = runs.service.incidents.waiters.expect(manual)
        runs.service.anomalies.send(manual)
        for at_ns in range(service_module.ANOMALIES):
            runs.service.anomalies.send(make_anomaly("error", at_ns=2 + at_ns))

        with pytest.raises(BundleError, match="no incident was opened"):
            await outcome
