"""From anomalies to bundles, with what is held back between them."""

import asyncio
import errno
import shutil
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from aod import smb
from aod.actions.action import Context, Result
from aod.actions.output import Output
from aod.actions.program import run
from aod.bundle import OutputDirectory
from aod.config import Config
from aod.detectors.anomaly import Anomaly
from aod.incidents.incident import Incident
from aod.incidents.incidents import Incidents, make_cooldowns
from aod.incidents.notices import Notice, Recipient
from aod.incidents.waiters import BundleWaiters
from aod.processes.command import Command
from aod.runtime.counts import ServiceCounts
from aod.runtime.journal import BUNDLE, INCIDENT
from aod.runtime.queue import Queue
from tests.children import make_runner
from tests.conftest import Collect, Logged, make_anomaly, make_config, manifest_of, names_in
from tests.disk import Faults
from tests.events import SECOND
from tests.evidence import LookUps, Unheard, make_evidence

Script = dict[str, Collect]
HOUR = 3600 * SECOND
YEAR = 365 * 24 * HOUR


@pytest.fixture(autouse=True, scope="module")
def _warmed_up() -> None:
    """What the service reads before its first anomaly."""
    smb.statuses()


def spawn(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(work, name=name)


def make_incidents(
    config: Config,
    output: OutputDirectory,
    service_counts: ServiceCounts | None = None,
    recipient: Recipient | None = None,
) -> Incidents:
    return Incidents(
        config,
        output,
        make_runner(),
        make_evidence(LookUps(shares=lambda events: ["//nas/a"])),
        recipient or Unheard(),
        make_cooldowns(config),
        service_counts or ServiceCounts(),
        spawn,
        BundleWaiters(),
    )


class Heard:
    """Keeps the notices that it is sent."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    def send(self, notice: Notice) -> None:
        self.notices.append(notice)


async def handle(incidents: Incidents, *anomalies: Anomaly) -> None:
    """Hand anomalies over and wait until every incident is sealed."""
    channel = Queue[Anomaly](10)
    for anomaly in anomalies:
        channel.send(anomaly)
    channel.close()
    async with asyncio.timeout(20):
        await incidents.run(channel)


async def manifests(output: OutputDirectory) -> list[dict[str, Any]]:
    """Return the manifests of all bundles, oldest first."""
    return [await manifest_of(output.path / name) for name in names_in(output.path)]


async def test_anomalies_that_come_together_share_a_bundle(
    output: OutputDirectory, script: Script
) -> None:
    incidents = make_incidents(make_config(output.path), output)

    await handle(incidents, make_anomaly(), make_anomaly("error"), make_anomaly())

    (manifest,) = await manifests(output)
    assert [(each["name"], each["count"]) for each in manifest["anomalies"]] == [
        ("latency", 2),
        ("error", 1),
    ]
    assert manifest["trigger"] == "latency"


async def test_an_anomaly_in_its_cooldown_opens_nothing(
    output: OutputDirectory, script: Script
) -> None:
    incidents = make_incidents(make_config(output.path), output)

    await handle(incidents, make_anomaly())
    await handle(incidents, make_anomaly(at_ns=5))

    assert names_in(output.path) == ["aod_0000000001000000000.tar.zst"]


async def test_what_was_held_back_is_told_by_the_next_bundle(
    output: OutputDirectory, script: Script, logged: Logged
) -> None:
    incidents, channel = make_incidents(make_config(output.path), output), Queue[Anomaly](10)

    async with asyncio.TaskGroup() as group:
        group.create_task(incidents.run(channel))
        channel.send(make_anomaly())
        await logged.until("bundle sealed")
        for anomaly in (make_anomaly(), make_anomaly(), make_anomaly("error", 2 * SECOND)):
            channel.send(anomaly)
        channel.close()

    first, second = await manifests(output)
    assert first["suppressed_since_last"] == []
    (held_back,) = second["suppressed_since_last"]
    assert (held_back["name"], held_back["count"]) == ("latency", 2)


async def test_without_a_cooldown_each_opens_a_bundle(
    output: OutputDirectory, script: Script
) -> None:
    incidents = make_incidents(
        make_config(output.path, incidents={"cooldown_sec": 0, "max_cooldown_sec": 0}), output
    )

    for at_ns in (1, 2):
        await handle(incidents, make_anomaly(at_ns=at_ns))

    assert len(names_in(output.path)) == 2


@pytest.mark.parametrize("emergency_first", [True, False])
async def test_a_mixed_incident_cools_down_for_both_of_its_keys(
    output: OutputDirectory, script: Script, emergency_first: bool
) -> None:
    incidents = make_incidents(make_config(output.path), output)
    await handle(
        incidents,
        make_anomaly(emergency=emergency_first),
        make_anomaly(emergency=not emergency_first),
    )

    await handle(incidents, make_anomaly(at_ns=5))
    await handle(incidents, make_anomaly(at_ns=6, emergency=True))

    assert len(names_in(output.path)) == 1


async def test_over_the_hours_limit_nothing_ordinary_opens(
    output: OutputDirectory, script: Script
) -> None:
    incidents = make_incidents(
        make_config(output.path, incidents={"max_bundles_per_hour": 3}), output
    )

    for at_ns, name in enumerate(("latency", "error", "error-2")):
        await handle(incidents, make_anomaly(name, at_ns))
    await handle(incidents, make_anomaly(at_ns=9, emergency=True))

    assert [manifest["trigger"] for manifest in await manifests(output)] == ["latency"] * 2


def entries(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return the fields of every line that would be an entry of the journal."""
    found = [getattr(record, "journal_fields", None) for record in caplog.records]
    return [fields for fields in found if fields]


async def test_an_incident_and_its_bundle_are_an_entry_each(
    output: OutputDirectory, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "aod")
    incidents = make_incidents(make_config(output.path), output)

    await handle(incidents, make_anomaly(), make_anomaly("error"))

    opened, sealed = entries(caplog)
    assert (opened["MESSAGE_ID"], opened["AOD_ANOMALY"]) == (INCIDENT, "latency")
    assert opened["AOD_SHARE"] == ["//nas/a"]
    assert (sealed["MESSAGE_ID"], sealed["AOD_OUTCOME"]) == (BUNDLE, "sealed")
    assert sealed["AOD_BUNDLE"] == str(output.path / names_in(output.path)[0])
    assert sealed["AOD_ANOMALY"] == ["latency", "error"]


async def test_a_bundle_that_cannot_be_kept_is_an_entry_with_the_reason(
    output: OutputDirectory, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    output.path.symlink_to(output.path.rename(output.path.with_name("elsewhere")))
    recipient = Heard()
    incidents = make_incidents(make_config(output.path), output, recipient=recipient)

    await handle(incidents, make_anomaly())

    (ended,) = [fields for fields in entries(caplog) if fields["MESSAGE_ID"] == BUNDLE]
    assert (ended["AOD_OUTCOME"], ended["AOD_BUNDLE"]) == ("not opened", "")
    assert "it is a link" in ended["AOD_REASON"]
    assert [notice.fields() for notice in recipient.notices] == [
        {key: value for key, value in ended.items() if key != "MESSAGE_ID"}
    ]


async def test_a_bundle_that_cannot_be_described_is_told_all_the_same(
    output: OutputDirectory, script: Script, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: Any) -> Notice:
        raise KeyError("raised")

    monkeypatch.setattr(Incident, "notice", fails)
    await handle(make_incidents(make_config(output.path), output), make_anomaly())

    assert logged.count("bundle sealed file=") == 1
    assert logged.count("cannot be described") == 1


async def test_a_bundle_that_cannot_be_opened_costs_that_bundle_only(
    output: OutputDirectory, script: Script, logged: Logged
) -> None:
    incidents, channel = make_incidents(make_config(output.path), output), Queue[Anomaly](10)
    elsewhere = output.path.rename(output.path.with_name("elsewhere"))
    output.path.symlink_to(elsewhere)  # a link is refused

    async with asyncio.TaskGroup() as group:
        group.create_task(incidents.run(channel))
        channel.send(make_anomaly())
        channel.send(make_anomaly("error"))
        await logged.until("bundle not opened anomaly=latency")
        output.path.unlink()
        elsewhere.rename(output.path)
        channel.send(make_anomaly("error-2", 5))
        channel.close()

    (manifest,) = await manifests(output)
    assert manifest["trigger"] == "error-2"
    held_back = manifest["suppressed_since_last"]
    assert [(held["name"], held["count"]) for held in held_back] == [("latency", 1), ("error", 1)]


async def test_a_seal_that_fails_leaves_the_rest_working(
    output: OutputDirectory, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    in_the_way = output.path / "aod_0000000001000000000.tar.zst"

    async def takes_the_name(context: Context, out: Output) -> Result:
        await asyncio.to_thread(in_the_way.mkdir, exist_ok=True)
        return Result()

    script["dmesg"] = takes_the_name
    incidents = make_incidents(make_config(output.path), output)
    await handle(incidents, make_anomaly())
    in_the_way.rmdir()

    await handle(incidents, make_anomaly("error", 5))

    assert "bundle not sealed" in caplog.text
    assert names_in(output.path) == ["aod_0000000000000000005.tar.zst", "aod_0000000001000000000"]


async def test_a_directory_that_is_removed_while_collecting_costs_that_bundle_and_is_told(
    output: OutputDirectory, script: Script, logged: Logged
) -> None:
    async def removes(context: Context, out: Output) -> Result:
        if not logged.count("bundle lost"):
            await asyncio.to_thread(shutil.rmtree, output.path)
        return Result()

    script["dmesg"] = removes
    incidents = make_incidents(make_config(output.path), output)
    await handle(incidents, make_anomaly())
    await handle(incidents, make_anomaly("error", 5))

    (manifest,) = await manifests(output)
    assert logged.count("bundle lost, its directory is gone") == 1
    assert logged.count("output directory was removed") == 1
    assert [held["name"] for held in manifest["suppressed_since_last"]] == ["latency"]
    assert output.path.stat().st_mode & 0o777 == 0o700


async def test_a_directory_that_is_moved_takes_its_open_bundle_along(
    output: OutputDirectory, script: Script, logged: Logged
) -> None:
    begun, moved, channel = asyncio.Event(), asyncio.Event(), Queue[Anomaly](10)
    elsewhere = output.path.with_name("elsewhere")

    async def waits(context: Context, out: Output) -> Result:
        begun.set()
        await moved.wait()
        return Result()

    script["dmesg"] = waits
    incidents = make_incidents(make_config(output.path), output)
    async with asyncio.TaskGroup() as group:
        group.create_task(incidents.run(channel))
        channel.send(make_anomaly())
        await begun.wait()
        output.path.rename(elsewhere)
        await asyncio.to_thread(output.follow)
        moved.set()
        await logged.until("bundle sealed")
        channel.send(make_anomaly("error", 5))
        channel.close()

    assert names_in(elsewhere) == ["aod_0000000001000000000.tar.zst"]
    assert names_in(output.path) == ["aod_0000000000000000005.tar.zst"]
    assert logged.count("left_behind=aod_0000000001000000000") == 1


async def test_a_shutdown_seals_the_open_incident_within_its_grace(
    output: OutputDirectory, script: Script
) -> None:
    begun, channel = asyncio.Event(), Queue[Anomaly](10)

    async def captures(context: Context, out: Output) -> Result:
        begun.set()
        return await run(Command("sleep", ("60",), run_for_s=60), context, out)

    script["dmesg"] = captures
    incidents = make_incidents(make_config(output.path), output)
    async with asyncio.TaskGroup() as group:
        group.create_task(incidents.run(channel))
        channel.send(make_anomaly())
        await begun.wait()
        channel.send(make_anomaly(at_ns=7))
        channel.close()
        started_s = time.monotonic()
        incidents.hurry(2.0)

    (manifest,) = await manifests(output)
    assert time.monotonic() - started_s < 2.0
    assert manifest["actions"]["dmesg"]["state"] == "cancelled"
    assert manifest["anomalies"][0]["repeats"] == 1


async def test_an_anomaly_that_comes_with_the_shutdown_is_sealed_as_well(
    output: OutputDirectory, script: Script
) -> None:
    config = make_config(output.path, watcher={"actions": ["dmesg", "stats", "mounts"]})
    incidents = make_incidents(config, output)
    incidents.hurry(2.0)

    started_s = time.monotonic()
    await handle(incidents, make_anomaly())

    assert time.monotonic() - started_s < 2.0
    assert [manifest["state"] for manifest in await manifests(output)] == ["sealed"]


async def test_what_stays_is_sealed_files_only(output: OutputDirectory, script: Script) -> None:
    incidents = make_incidents(
        make_config(output.path, incidents={"cooldown_sec": 0, "max_cooldown_sec": 0}), output
    )

    for at_ns, name in enumerate(("latency", "error", "latency", "manual")):
        await handle(incidents, make_anomaly(name, at_ns))

    assert [name.removeprefix("aod_000000000000000000") for name in names_in(output.path)] == [
        f"{number}.tar.zst" for number in range(4)
    ]
    assert output.open_names == set()


@pytest.mark.parametrize("step_ns", [-YEAR, -HOUR, HOUR, YEAR])
async def test_a_clock_that_is_set_changes_no_cooldown(
    output: OutputDirectory, script: Script, monkeypatch: pytest.MonkeyPatch, step_ns: int
) -> None:
    incidents = make_incidents(make_config(output.path), output)
    now_ns, clock = 2 * YEAR, time.monotonic_ns()
    monkeypatch.setattr(time, "monotonic_ns", lambda: clock)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns)

    def raised() -> Anomaly:
        return make_anomaly(at_ns=clock).stamped(now_ns - clock)

    await handle(incidents, raised())
    now_ns += step_ns
    clock += 59 * SECOND
    await handle(incidents, raised())
    within = len(names_in(output.path))
    clock += 2 * SECOND
    await handle(incidents, raised())

    stamps = {2 * YEAR, 2 * YEAR + step_ns}
    assert within == 1
    assert names_in(output.path) == sorted(f"aod_{stamp:019d}.tar.zst" for stamp in stamps)


async def test_a_clock_that_is_set_back_onto_a_bundle_moves_on_by_a_nanosecond(
    output: OutputDirectory, script: Script
) -> None:
    incidents = make_incidents(
        make_config(output.path, incidents={"cooldown_sec": 0, "max_cooldown_sec": 0}), output
    )

    for at_ns in (1, 2, 3):
        await handle(incidents, make_anomaly(at_ns=at_ns).stamped(100 - at_ns))

    assert [name[-10:-8] for name in names_in(output.path)] == ["00", "01", "02"]
    assert {manifest["timestamp"] for manifest in await manifests(output)} == {100, 101, 102}


async def test_a_disk_that_was_full_for_an_hour_is_used_again_a_cooldown_later(
    output: OutputDirectory, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    incidents = make_incidents(
        make_config(output.path, incidents={"max_bundles_per_hour": 3}), output
    )
    clock = time.monotonic_ns()
    monkeypatch.setattr(time, "monotonic_ns", lambda: clock)
    with Faults(errno.ENOSPC, 1, lasting=True).on():
        for _ in range(60):
            await handle(incidents, make_anomaly())
            clock += 30 * SECOND
            await handle(incidents, make_anomaly())
            clock += 30 * SECOND

    await handle(incidents, make_anomaly(at_ns=7))

    (manifest,) = await manifests(output)
    (held_back,) = manifest["suppressed_since_last"]
    assert held_back["count"] == 120
