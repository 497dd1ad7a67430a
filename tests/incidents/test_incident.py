"""One incident, with real files and, where it matters, real children."""

import asyncio
import errno
import json
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from aod import actions
from aod.actions.action import Context, Result
from aod.actions.output import Output
from aod.actions.program import run
from aod.bundle import OutputDirectory, read_member
from aod.config import Config
from aod.detectors.anomaly import Anomaly
from aod.incidents.cooldown import Suppressed
from aod.incidents.evidence import Evidence
from aod.incidents.incident import MIB, Incident
from aod.processes.command import Command
from aod.redact import Scrubber
from tests.children import make_runner
from tests.conftest import Collect, make_anomaly, make_config, manifest_of, names_in
from tests.disk import still_bytes
from tests.evidence import Counting, LookUps, make_evidence

Script = dict[str, Collect]
NAME = "aod_0000000001000000000"


def make_incident(
    config: Config,
    first: Anomaly | None = None,
    suppressed: Sequence[Suppressed] = (),
    evidence: Evidence | None = None,
) -> Incident:
    return Incident(
        first or make_anomaly(),
        config,
        make_runner(),
        evidence or make_evidence(),
        suppressed,
    )


async def sealed(incident: Incident, output: OutputDirectory) -> dict[str, Any]:
    """Run an incident to its end and return its manifest."""
    async with asyncio.timeout(20):
        await incident.collect(output)
        return await manifest_of(output.path / await incident.seal())


def states(manifest: dict[str, Any]) -> dict[str, str]:
    return {name: result["state"] for name, result in manifest["actions"].items()}


class Gate:
    """An action that tells that it has begun and ends when it is let."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.open = asyncio.Event()

    async def collect(self, context: Context, output: Output) -> Result:
        self.begun.set()
        await self.open.wait()
        return Result()


async def test_the_first_manifest_is_there_before_the_first_action(
    output: OutputDirectory, script: Script
) -> None:
    seen: list[dict[str, Any]] = []

    async def looks(context: Context, out: Output) -> Result:
        seen.append(await manifest_of(output.path / NAME))
        return Result()

    script["dmesg"] = looks
    await sealed(make_incident(make_config(output.path)), output)

    assert [manifest["state"] for manifest in seen] == ["collecting"]
    assert [event["latency_ns"] for event in seen[0]["anomalies"][0]["events"]] == [300_000_000]


async def test_each_configured_action_has_a_result_and_a_file(
    output: OutputDirectory, script: Script
) -> None:
    manifest = await sealed(make_incident(make_config(output.path)), output)

    assert manifest["state"] == "sealed"
    assert states(manifest) == {"dmesg": "ok", "stats": "ok"}
    assert {"dmesg.txt", "stats.txt", "summary.txt", "events.npy"} < manifest["files"].keys()
    assert names_in(output.path) == [f"{NAME}.tar.zst"]


async def test_repeats_while_collecting_are_counted(
    output: OutputDirectory, script: Script
) -> None:
    gate = Gate()
    script["dmesg"] = gate.collect
    incident = make_incident(make_config(output.path))

    async with asyncio.TaskGroup() as group:
        ended = group.create_task(sealed(incident, output))
        await gate.begun.wait()
        joined = [incident.join(make_anomaly(at_ns=at_ns)) for at_ns in (2, 3)]
        gate.open.set()

    (latency,) = ended.result()["anomalies"]
    assert joined == [True, True]
    assert (latency["count"], latency["repeats"]) == (3, 2)


@pytest.mark.parametrize("while_opening", [True, False])
async def test_another_anomaly_adds_only_the_actions_that_are_missing(
    output: OutputDirectory, script: Script, while_opening: bool
) -> None:
    gate, begun = Gate(), []

    def notes(name: str) -> Collect:
        async def collect(context: Context, out: Output) -> Result:
            begun.append(name)
            return await gate.collect(context, out)

        return collect

    script.update({name: notes(name) for name in ("dmesg", "stats", "mounts")})
    incident = make_incident(make_config(output.path))
    async with asyncio.TaskGroup() as group:
        if while_opening:
            incident.join(make_anomaly("error"))
        ended = group.create_task(sealed(incident, output))
        await gate.begun.wait()
        incident.join(make_anomaly("error"))
        gate.open.set()

    assert sorted(begun) == ["dmesg", "mounts", "stats"]
    assert [anomaly["name"] for anomaly in ended.result()["anomalies"]] == ["latency", "error"]
    assert ended.result()["anomalies"][1]["repeats"] == while_opening


async def test_what_joined_while_it_was_opened_is_on_disk_before_its_actions(
    output: OutputDirectory, script: Script
) -> None:
    opening, described = threading.Event(), threading.Event()
    seen: list[list[str]] = []

    def lost() -> dict[str, int]:
        opening.set()  # the anomalies of the first manifest are chosen by now
        described.wait(5)
        return {}

    async def looks(context: Context, out: Output) -> Result:
        manifest = await manifest_of(output.path / NAME)
        seen.append([anomaly["name"] for anomaly in manifest["anomalies"]])
        return Result()

    script["mounts"] = looks
    evidence = make_evidence(losses=Counting(lost))
    incident = make_incident(make_config(output.path), evidence=evidence)
    async with asyncio.TaskGroup() as group:
        group.create_task(sealed(incident, output))
        await asyncio.to_thread(opening.wait, 5)
        incident.join(make_anomaly("error"))
        described.set()

    assert seen == [["latency", "error"]]


async def test_two_that_join_do_not_write_the_manifest_at_the_same_time(
    output: OutputDirectory, script: Script
) -> None:
    gate, writers, overlaps = Gate(), threading.Lock(), []

    def lost() -> dict[str, int]:
        free = writers.acquire(blocking=False)
        overlaps.append(not free)
        time.sleep(0.02)  # in a writer's thread: time for another to come in
        if free:
            writers.release()
        return {}

    script["dmesg"] = gate.collect
    evidence = make_evidence(losses=Counting(lost))
    incident = make_incident(make_config(output.path), evidence=evidence)
    async with asyncio.TaskGroup() as group:
        group.create_task(sealed(incident, output))
        await gate.begun.wait()
        for name in ("error", "error-2", "error-3"):
            incident.join(make_anomaly(name))
        gate.open.set()

    assert overlaps == [False] * 5


async def test_when_all_is_collected_only_a_repeat_can_join(
    output: OutputDirectory, script: Script
) -> None:
    incident = make_incident(make_config(output.path))
    await incident.collect(output)

    assert not incident.join(make_anomaly("error"))
    assert incident.join(make_anomaly("latency"))
    manifest = await manifest_of(output.path / await incident.seal())
    assert [anomaly["repeats"] for anomaly in manifest["anomalies"]] == [1]


async def test_nothing_new_joins_while_the_actions_are_being_ended(
    output: OutputDirectory, script: Script
) -> None:
    ending, gate = asyncio.Event(), Gate()

    async def ends_slowly(context: Context, out: Output) -> Result:
        try:
            return await gate.collect(context, out)
        finally:
            ending.set()
            await gate.open.wait()

    script["dmesg"] = script["stats"] = ends_slowly
    incident = make_incident(make_config(output.path))
    async with asyncio.TaskGroup() as group:
        group.create_task(sealed(incident, output))
        await gate.begun.wait()
        incident.hurry(0.0)
        await ending.wait()
        joined = incident.join(make_anomaly("error"))
        incident.hurry(0.0)
        gate.open.set()

    assert not joined


async def test_its_keys_are_all_under_which_it_was_raised(tmp_path: Path) -> None:
    incident = make_incident(make_config(tmp_path))

    incident.join(make_anomaly(emergency=True))
    incident.join(make_anomaly("error"))

    assert incident.keys == {
        "latency": "latency",
        "latency:emergency": "latency",
        "error": "error",
    }


async def test_what_was_held_back_before_stands_in_the_manifest(
    output: OutputDirectory, script: Script
) -> None:
    held_back = Suppressed("latency", 5, 1, 2, 3)

    manifest = await sealed(make_incident(make_config(output.path), None, [held_back]), output)

    assert manifest["suppressed_since_last"] == [asdict(held_back.described())]


@pytest.mark.parametrize(
    ("room", "expected"),
    [
        (3, {"dmesg": "ok", "stats": "ok"}),
        (1, {"dmesg": "ok", "stats": "skipped"}),
        (0, {"dmesg": "skipped", "stats": "skipped"}),
    ],
)
async def test_a_disk_without_room_costs_actions_and_says_so(
    output: OutputDirectory,
    script: Script,
    monkeypatch: pytest.MonkeyPatch,
    room: int,
    expected: dict[str, str],
) -> None:
    config = make_config(output.path)
    free_bytes = int(room * config.watcher.action_max_mb * MIB)
    monkeypatch.setattr(output, "free_bytes", lambda: free_bytes)

    manifest = await sealed(make_incident(config), output)

    assert states(manifest) == expected
    reasons = {result["reason"] for result in manifest["actions"].values()} - {""}
    assert reasons == ({"the disk has no room for it"} if room < 3 else set())


async def test_below_min_free_only_manifest_and_summary_are_kept(
    output: OutputDirectory, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "free_bytes", lambda: MIB - 1)

    manifest = await sealed(make_incident(make_config(output.path, min_free_mb=1)), output)

    summary = await asyncio.to_thread(read_member, output.path / f"{NAME}.tar.zst", "summary.txt")
    assert manifest["files"].keys() == {"summary.txt"}
    assert manifest["anomalies"][0]["count"] == 1
    assert manifest["disk"]["min_free_bytes"] == MIB
    assert set(manifest["disk"]["left_out"]) == {"dmesg", "stats", "mounts", "events"}
    assert b"The disk was short of room" in summary


async def test_what_one_incident_reserves_the_next_one_does_not_get(
    output: OutputDirectory, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(output.path)
    cap_bytes = int(config.watcher.action_max_mb * MIB)
    monkeypatch.setattr(output, "free_bytes", lambda: 9 * cap_bytes)
    first, second = make_incident(config), make_incident(config, make_anomaly("error", 5))
    await first.collect(output)

    short = await sealed(second, output)
    await first.seal()

    assert short["disk"]["reserved_bytes"] > 6 * cap_bytes
    assert states(short) == {"stats": "ok", "mounts": "skipped"}
    assert await asyncio.to_thread(still_bytes, output) == 0


async def test_a_directory_that_is_gone_is_made_anew(
    output: OutputDirectory, script: Script
) -> None:
    output.path.rmdir()

    manifest = await sealed(make_incident(make_config(output.path)), output)

    assert states(manifest) == {"dmesg": "ok", "stats": "ok"}


async def test_a_bundle_that_cannot_be_opened_leaves_nothing(
    output: OutputDirectory, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*arguments: object, **options: object) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "rename", refuses)

    with pytest.raises(OSError, match="quota"):
        await make_incident(make_config(output.path)).collect(output)

    assert names_in(output.path) == []
    assert output.open_names == set()
    assert await asyncio.to_thread(still_bytes, output) == 0


async def test_a_clock_that_is_set_while_collecting_does_not_move_the_events(
    output: OutputDirectory, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: list[str] = []
    now_ns = time.time_ns()
    for step_ns in (0, 3_600_000_000_000):
        monkeypatch.setattr(time, "time_ns", lambda step_ns=step_ns: now_ns + step_ns)
        first = make_anomaly().stamped(77_000)
        manifest = await sealed(make_incident(make_config(output.path), first), output)
        assert manifest["wall_minus_monotonic_ns"] == 77_000
        times += [event["time"] for event in manifest["anomalies"][0]["events"]]

    assert times == ["1970-01-01T00:00:01.000077+00:00"] * 2


async def test_a_seal_that_fails_leaves_the_directory(
    output: OutputDirectory, script: Script
) -> None:
    async def takes_the_name(context: Context, out: Output) -> Result:
        await asyncio.to_thread((output.path / f"{NAME}.tar.zst").mkdir)
        return Result()

    script["dmesg"] = takes_the_name
    incident = make_incident(make_config(output.path))
    await incident.collect(output)

    with pytest.raises(IsADirectoryError):
        await incident.seal()

    assert names_in(output.path) == [NAME, f"{NAME}.tar.zst"]
    assert json.loads((output.path / NAME / "manifest.json").read_text())["state"] == "sealed"
    assert output.open_names == set()


async def test_an_action_that_raises_is_a_failed_result(
    output: OutputDirectory, script: Script
) -> None:
    async def raises(context: Context, out: Output) -> Result:
        raise KeyError("bug")

    script["dmesg"] = raises
    manifest = await sealed(make_incident(make_config(output.path)), output)

    assert states(manifest) == {"dmesg": "failed", "stats": "ok"}


async def test_an_action_that_cannot_be_loaded_is_a_failed_result(
    output: OutputDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(actions.ACTIONS, "dmesg", "aod.actions.gone:Gone")

    manifest = await sealed(make_incident(make_config(output.path)), output)

    assert manifest["actions"]["dmesg"]["state"] == "failed"
    assert "aod.actions.gone" in manifest["actions"]["dmesg"]["reason"]
    assert manifest["actions"]["stats"]["state"] == "skipped"


async def test_hurry_ends_a_capture_and_keeps_what_it_has(
    output: OutputDirectory, script: Script
) -> None:
    begun = asyncio.Event()
    code = "import signal; print('packets', flush=True); signal.pause()"

    async def captures(context: Context, out: Output) -> Result:
        begun.set()
        command = Command("python3", ("-IS", "-c", code), run_for_s=60)
        return await run(command, context, out)

    script["dmesg"] = captures
    incident = make_incident(make_config(output.path))
    async with asyncio.TaskGroup() as group:
        ended = group.create_task(sealed(incident, output))
        await begun.wait()
        started_s = time.monotonic()
        incident.hurry(2.0)

    assert time.monotonic() - started_s < 2.0
    assert states(ended.result()) == {"dmesg": "cancelled", "stats": "ok"}
    path = output.path / f"{NAME}.tar.zst"
    assert await asyncio.to_thread(read_member, path, "dmesg.txt") == b"packets\n"


@pytest.mark.parametrize("grace_s", [0.0, 0.5])
async def test_hurry_ends_the_wait_after_the_trigger(
    output: OutputDirectory, script: Script, grace_s: float
) -> None:
    watcher = {"actions": ["dmesg", "stats", "mounts"], "post_trigger_sec": 300}
    incident = make_incident(make_config(output.path, watcher=watcher))
    incident.hurry(grace_s)

    manifest = await sealed(incident, output)

    assert states(manifest).keys() == {"dmesg", "stats"}
    assert set(states(manifest).values()) == {"cancelled" if grace_s == 0 else "ok"}


async def test_what_joined_just_before_the_cut_off_has_results_too(
    output: OutputDirectory, script: Script
) -> None:
    gate = Gate()
    script["dmesg"] = script["stats"] = gate.collect
    incident = make_incident(make_config(output.path))
    async with asyncio.TaskGroup() as group:
        ended = group.create_task(sealed(incident, output))
        await gate.begun.wait()
        incident.join(make_anomaly("error"))
        incident.hurry(0.0)

    assert states(ended.result()) == dict.fromkeys(("dmesg", "stats", "mounts"), "cancelled")


async def test_what_somebody_asked_for_runs_every_action_of_the_watcher(
    output: OutputDirectory, script: Script
) -> None:
    manifest = await sealed(make_incident(make_config(output.path), make_anomaly("manual")), output)

    assert states(manifest).keys() == {"dmesg", "stats", "mounts"}


async def test_actions_are_told_the_time_of_the_anomaly_and_the_numbers_of_the_config(
    output: OutputDirectory, script: Script
) -> None:
    seen: list[Context] = []

    async def looks(context: Context, out: Output) -> Result:
        seen.append(context)
        return Result()

    script["dmesg"] = looks
    watcher = {"actions": ["dmesg", "stats", "mounts"], "post_trigger_sec": 0, "lookback_sec": 7}
    await sealed(make_incident(make_config(output.path, watcher=watcher)), output)

    (span,) = [context.span for context in seen]
    assert (span.raised_wall_ns, span.lookback_s, span.post_trigger_s) == (1_000_000_000, 7, 0)


async def test_only_what_is_new_or_has_changed_is_described_again(
    output: OutputDirectory, script: Script
) -> None:
    gate, names = Gate(), LookUps()
    script["dmesg"] = gate.collect
    incident = make_incident(make_config(output.path), evidence=make_evidence(names))
    counts: list[int] = []

    async with asyncio.TaskGroup() as group:
        ended = group.create_task(sealed(incident, output))
        await gate.begun.wait()
        counts.append(names.count)
        incident.join(make_anomaly("error"))
        gate.open.set()

    counts.append(names.count)
    assert counts == [1, 2]
    assert [anomaly["count"] for anomaly in ended.result()["anomalies"]] == [1, 1]


async def test_a_repeat_is_described_with_what_it_brings(
    output: OutputDirectory, script: Script
) -> None:
    names = LookUps()
    incident = make_incident(make_config(output.path), evidence=make_evidence(names))
    await incident.collect(output)

    incident.join(make_anomaly(at_ns=7))
    manifest = await manifest_of(output.path / await incident.seal())

    (latency,) = manifest["anomalies"]
    assert names.count == 2
    assert [event["time_ns"] for event in latency["events"]] == [1_000_000_000, 7]


async def test_a_notice_has_the_words_of_the_last_manifest(
    output: OutputDirectory, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    incident = make_incident(make_config(output.path))
    manifest = await sealed(incident, output)
    monkeypatch.setattr(Scrubber, "manifest", None)  # it is not cleaned again

    notice = await incident.notice("sealed", "/b")

    assert notice.host == manifest["host"]["name"]
    assert [each.count for each in notice.anomalies] == [1]
