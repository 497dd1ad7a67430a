"""What a service that runs answers over its socket, with a tracer that is made up."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from aod.actions.action import Context, Result
from aod.actions.output import Output
from aod.bundle import OutputDirectory
from aod.config import Config
from aod.control import find, protocol
from aod.control.answers import (
    CollectAnswer,
    SampleAnswer,
    StatusAnswer,
    SuppressedAnswer,
    TracerAnswer,
)
from aod.errors import ServiceError
from aod.incidents.incident import Incident
from aod.service import service as service_module
from aod.smb import Command as Smb
from aod.smb.names import Names
from tests.conftest import Collect, Logged, make_config
from tests.control.test_control import connected
from tests.events import MS
from tests.fakes import FakeTracer, only_manifest, running, slow

Script = dict[str, Collect]
A = TypeVar("A", bound=protocol.Answer)


@asynccontextmanager
async def answering(
    config: Config, output: OutputDirectory, tracer: FakeTracer, logged: Logged
) -> AsyncIterator[Any]:
    async with running(config, output, tracer) as send:
        await logged.until("listening")
        yield send


async def ask(wanted: type[A], **options: Any) -> A:
    client = await asyncio.to_thread(find)
    assert client
    return await asyncio.to_thread(partial(client.ask, wanted, **options))


async def test_the_status_names_process_directory_and_config(
    output: OutputDirectory, tracer: FakeTracer, logged: Logged
) -> None:
    config = make_config(output.path)

    async with answering(config, output, tracer, logged):
        answer = await ask(StatusAnswer)

    assert (answer.pid, answer.output) == (os.getpid(), str(output.path))
    assert answer.config_sha256 == config.fingerprint()
    assert answer.status.startswith("watching SMB operations; 0 incidents")
    assert answer.complaints == ()


async def test_a_sample_is_that_of_the_services_tracer(
    output: OutputDirectory, tracer: FakeTracer, logged: Logged
) -> None:
    async with answering(make_config(output.path), output, tracer, logged):
        answer = await ask(SampleAnswer)

    sample = answer.sample()
    assert answer.attached is True
    assert sample.counters[0, 0, Smb.SMB2_READ].latency[13] == 50
    assert sample.in_flight == {(0, 0, Smb.SMB2_READ): 1}
    assert tracer.calls == ["climb", "detach", "close"]


async def test_a_sample_has_the_names_of_its_trees(
    output: OutputDirectory,
    tracer: FakeTracer,
    logged: Logged,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "DebugData").write_text("1) ConnectionId: 0x0 Hostname: nas01\n")
    monkeypatch.setattr(service_module, "Names", partial(Names, tmp_path / "DebugData"))

    async with answering(make_config(output.path), output, tracer, logged):
        answer = await ask(SampleAnswer)

    assert answer.names().server_and_share(0, 0) == ("nas01", "")


async def test_the_tracer_is_told_with_its_probes_and_books(
    output: OutputDirectory, tracer: FakeTracer, logged: Logged
) -> None:
    tracer.missing = {"smb3_tcon": "no such tracepoint"}

    async with answering(make_config(output.path), output, tracer, logged):
        answer = await ask(TracerAnswer)

    attached = answer.attached()
    assert attached
    assert attached.rung.number == 1
    probes = {each.section: each for each in attached.probes}
    assert probes["kprobe/smb_send_rqst"].attached is True
    assert probes["kprobe/smb3_tcon"].missing == "no such tracepoint"
    assert answer.ledger.open == 1
    assert answer.lost == {"events": 0, "batches": 0, "anomalies": 0}


async def test_what_is_asked_for_becomes_a_bundle_with_what_is_open(
    output: OutputDirectory,
    tracer: FakeTracer,
    script: Script,
    logged: Logged,
    waiting_thread: None,
) -> None:
    tracer.sent_ns -= 7000 * MS

    async with answering(make_config(output.path), output, tracer, logged):
        answer = await ask(CollectAnswer, reason="the backup hangs")

    manifest = await only_manifest(output)
    assert answer.bundle == f"{output.path}/aod_{manifest['timestamp']}.tar.zst"
    (manual,) = manifest["anomalies"]
    assert (manifest["trigger"], manual["reason"]) == ("manual", "the backup hangs")
    (event,) = manual["events"]
    assert (event["command"], event["comm"], event["task_state"]) == (
        "SMB2_READ",
        "cat",
        "D (disk sleep)",
    )
    assert event["latency_ns"] > 7000 * MS
    assert set(manifest["actions"]) == {"dmesg", "stats", "mounts"}
    assert manifest["tracer"]["rung"] == 1


async def test_what_waits_by_nature_is_no_evidence(
    output: OutputDirectory, tracer: FakeTracer, script: Script, logged: Logged
) -> None:
    tracer.command = Smb.SMB2_CHANGE_NOTIFY

    async with answering(make_config(output.path), output, tracer, logged):
        await ask(CollectAnswer)

    assert (await only_manifest(output))["anomalies"][0]["events"] == []


async def test_asked_for_while_one_is_collected_it_joins_that_bundle(
    output: OutputDirectory, tracer: FakeTracer, script: Script, logged: Logged
) -> None:
    begun, joined = asyncio.Event(), asyncio.Event()

    async def waits(context: Context, out: Output) -> Result:
        begun.set()
        await joined.wait()
        return Result()

    async def of_the_manual_alone(context: Context, out: Output) -> Result:
        joined.set()
        return Result()

    script["dmesg"], script["mounts"] = waits, of_the_manual_alone
    async with answering(make_config(output.path), output, tracer, logged) as send:
        send(slow())
        await begun.wait()
        answer = await ask(CollectAnswer)

    manifest = await only_manifest(output)
    assert [each["name"] for each in manifest["anomalies"]] == ["latency", "manual"]
    assert answer.bundle.endswith(f"/aod_{manifest['timestamp']}.tar.zst")


async def test_what_is_asked_for_is_never_held_back(
    output: OutputDirectory, tracer: FakeTracer, script: Script, logged: Logged
) -> None:
    config = make_config(output.path, incidents={"max_bundles_per_hour": 3})

    async with answering(config, output, tracer, logged):
        bundles = [(await ask(CollectAnswer)).bundle for _ in range(5)]

    assert len(set(bundles)) == 5


async def test_a_disk_that_refuses_is_told_to_who_asked(
    output: OutputDirectory,
    tracer: FakeTracer,
    script: Script,
    logged: Logged,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuses(incident: Incident, output: OutputDirectory) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Incident, "collect", refuses)
    async with answering(make_config(output.path), output, tracer, logged):
        with pytest.raises(ServiceError, match=r"bundle not opened: .*No space left on device"):
            await ask(CollectAnswer)


@pytest.mark.parametrize("reason", [5, None, ["x"], "x" * 1001])
async def test_a_reason_that_is_none_is_refused(
    output: OutputDirectory, tracer: FakeTracer, logged: Logged, reason: Any
) -> None:
    async with answering(make_config(output.path), output, tracer, logged):
        with pytest.raises(ServiceError, match="a text of at most 1000 characters"):
            await ask(CollectAnswer, reason=reason)


async def test_who_leaves_does_not_end_the_collecting(
    output: OutputDirectory,
    tracer: FakeTracer,
    script: Script,
    logged: Logged,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(protocol, "WORKING_S", 0.01)
    begun, left = asyncio.Event(), asyncio.Event()

    async def waits(context: Context, out: Output) -> Result:
        begun.set()
        await left.wait()
        return Result()

    script["dmesg"] = waits
    async with answering(make_config(output.path), output, tracer, logged):
        with await asyncio.to_thread(connected, tmp_path / "runtime") as connection:
            await asyncio.to_thread(connection.sendall, protocol.request_line("collect", {}))
            await begun.wait()
        await logged.until("a client was left")
        left.set()
        await logged.until("bundle sealed")

    assert (await only_manifest(output))["state"] == "sealed"


async def test_who_waits_when_the_service_ends_still_hears_of_the_bundle(
    output: OutputDirectory, tracer: FakeTracer, script: Script, logged: Logged
) -> None:
    begun = asyncio.Event()

    async def lasts(context: Context, out: Output) -> Result:
        begun.set()
        await asyncio.Event().wait()
        return Result()

    script["dmesg"] = lasts
    config = make_config(output.path, shutdown_grace_sec=1)
    async with asyncio.TaskGroup() as group, answering(config, output, tracer, logged):
        asking = group.create_task(ask(CollectAnswer))
        await begun.wait()

    manifest = await only_manifest(output)
    assert manifest["actions"]["dmesg"]["state"] == "cancelled"
    assert asking.result().bundle.endswith(f"/aod_{manifest['timestamp']}.tar.zst")


async def test_what_was_held_back_is_told(
    output: OutputDirectory, tracer: FakeTracer, script: Script, logged: Logged
) -> None:
    async with answering(make_config(output.path), output, tracer, logged) as send:
        send(slow())
        await logged.until("bundle sealed")
        send(slow())
        await logged.until("anomaly held back")
        answer = await ask(SuppressedAnswer)

    (held,) = answer.suppressed
    assert (held.name, held.count, held.worst_latency_ns) == ("latency", 1, 300 * MS)


async def test_sigusr1_collects_with_the_same_evidence(
    output: OutputDirectory, tracer: FakeTracer, script: Script, logged: Logged
) -> None:
    async with running(make_config(output.path), output, tracer) as runs:
        runs.signals.collect.set()
        await logged.until("bundle sealed")

    (manual,) = (await only_manifest(output))["anomalies"]
    assert (manual["reason"], manual["count"]) == ("SIGUSR1", 1)
