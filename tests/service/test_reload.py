"""The service takes over another config while it runs."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aod.bundle import OutputDirectory
from aod.config import Config
from aod.errors import ConfigError, TracerError
from aod.events import Events
from aod.smb import Command as Smb
from aod.smb.filter import Filter
from tests.conftest import Collect, Logged, Notes, make_config, names_in
from tests.events import MS, make
from tests.fakes import FakeTracer, Running, all_manifests, only_manifest, running

Script = dict[str, Collect]
RELOADED = "config reloaded sha256="


class Loader:
    """Gives the service its next config, or the error that it was told."""

    def __init__(self, config: Config) -> None:
        self.next: Config | Exception = config

    def __call__(self) -> Config:
        if isinstance(self.next, Exception):
            raise self.next
        return self.next


def slow_from(path: Path, threshold_ms: float, acceptable_count: int = 1, **keys: Any) -> Config:
    latency = {
        "type": "Latency",
        "acceptable_count": acceptable_count,
        "default_threshold_ms": threshold_ms,
        "actions": ["dmesg"],
    }
    return make_config(path, guardian={"anomalies": {"latency": latency}}, **keys)


def read_of(latency_ms: int) -> Events:
    return make(time.monotonic_ns(), latency_ns=latency_ms * MS, command=Smb.SMB2_READ)


async def reload(runs: Running, logged: Logged, times: int = 1) -> None:
    runs.signals.reload.set()
    await logged.until(RELOADED, times)


async def test_the_filter_is_widened_before_the_detectors_change_and_narrowed_after_it(
    output: OutputDirectory, tracer: FakeTracer, logged: Logged
) -> None:
    load = Loader(slow_from(output.path, 500))
    async with running(slow_from(output.path, 200), output, tracer, load=load) as runs:
        await reload(runs, logged)

    thresholds_ms = [each.thresholds_ns[0, Smb.SMB2_READ] // MS for each in tracer.filters]
    assert thresholds_ms == [200, 500]
    assert tracer.calls == ["climb", "detach", "close"]


async def test_events_count_by_the_new_config(
    output: OutputDirectory, tracer: FakeTracer, script: Script, logged: Logged
) -> None:
    load = Loader(slow_from(output.path, 50))
    async with running(slow_from(output.path, 200), output, tracer, load=load) as runs:
        await reload(runs, logged)
        for _ in range(2):
            runs.send(read_of(100))
        await logged.until("bundle sealed")

    assert (await only_manifest(output))["anomalies"][0]["count"] == 2


async def test_an_anomaly_that_stays_as_it_is_keeps_what_it_has_counted(
    output: OutputDirectory, tracer: FakeTracer, script: Script, logged: Logged
) -> None:
    load = Loader(slow_from(output.path, 200, cleanup={"max_log_age_days": 3}))
    async with running(slow_from(output.path, 200), output, tracer, load=load) as runs:
        runs.send(read_of(300))
        await reload(runs, logged)
        runs.send(read_of(300))
        await logged.until("bundle sealed")

    manifest = await only_manifest(output)
    assert manifest["anomalies"][0]["count"] == 2
    assert manifest["config"]["cleanup"]["max_log_age_days"] == 3


async def test_each_event_of_a_storm_counts_once_over_ten_reloads(
    output: OutputDirectory, tracer: FakeTracer, script: Script, logged: Logged
) -> None:
    load = Loader(slow_from(output.path, 200, acceptable_count=0))
    sent = 0
    async with running(load(), output, tracer, load=load) as runs:
        for times in range(1, 11):
            load.next = slow_from(output.path, 200 - times % 2, acceptable_count=0)
            runs.signals.reload.set()
            while logged.count(RELOADED) < times:
                runs.send(read_of(300))
                sent += 1
                await asyncio.sleep(0)
        await logged.until("bundle sealed")

    held_back = sum(held.count for held in runs.service.cooldowns.held_back)
    assert sent > 10
    assert (await only_manifest(output))["anomalies"][0]["count"] + held_back == sent


def unreadable(output: OutputDirectory) -> ConfigError:
    return ConfigError(["config.yaml:3: unknown key 'acceptable'", "config.yaml:9: too large"])


def another_directory(output: OutputDirectory) -> Config:
    return slow_from(output.path.parent / "elsewhere", 200)


@pytest.mark.parametrize(
    ("make_next", "expected"),
    [
        (unreadable, "config not reloaded: config.yaml:3: unknown key 'acceptable' (and 1 more)"),
        (another_directory, "another directory needs a restart"),
    ],
)
async def test_a_bad_config_leaves_the_old_one_in_force_and_is_told(
    output: OutputDirectory,
    tracer: FakeTracer,
    script: Script,
    logged: Logged,
    systemd: Notes,
    make_next: Callable[[OutputDirectory], Config | Exception],
    expected: str,
) -> None:
    load = Loader(slow_from(output.path, 200))
    load.next = make_next(output)
    async with running(slow_from(output.path, 200), output, tracer, load=load) as runs:
        runs.signals.reload.set()
        await logged.until("config not reloaded, the old one stays in force")
        for _ in range(2):
            runs.send(read_of(300))
        await logged.until("bundle sealed")

    notes = systemd()
    reloading = next(i for i, note in enumerate(notes) if note.startswith("RELOADING=1\n"))
    assert notes[reloading].splitlines()[1].startswith("MONOTONIC_USEC=")
    assert notes[reloading + 1].startswith("READY=1\nSTATUS=watching")
    assert expected in notes[reloading + 1]
    assert tracer.filters == []


async def test_each_problem_of_a_bad_config_is_a_line_in_the_log(
    output: OutputDirectory, tracer: FakeTracer, logged: Logged
) -> None:
    load = Loader(slow_from(output.path, 200))
    load.next = unreadable(output)
    async with running(slow_from(output.path, 200), output, tracer, load=load) as runs:
        runs.signals.reload.set()
        await logged.until("config not reloaded", 2)

        assert logged.count("stays in force: config.yaml:3: unknown key 'acceptable'") == 1
        assert logged.count("stays in force: config.yaml:9: too large") == 1


async def test_a_filter_that_the_kernel_refuses_leaves_the_old_config_in_force(
    output: OutputDirectory, tracer: FakeTracer, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(wanted: Filter) -> None:
        raise TracerError("writing to a map", 7)

    monkeypatch.setattr(tracer, "set_filter", refuse)
    load = Loader(slow_from(output.path, 500))
    async with running(slow_from(output.path, 200), output, tracer, load=load) as runs:
        runs.signals.reload.set()
        await logged.until("config not reloaded, the old one stays in force: writing to a map")

        assert runs.service.active.config == slow_from(output.path, 200)


async def test_a_filter_that_stays_wider_does_not_take_the_new_config_back(
    output: OutputDirectory,
    tracer: FakeTracer,
    logged: Logged,
    systemd: Notes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse_the_second(wanted: Filter) -> None:
        tracer.filters.append(wanted)
        if len(tracer.filters) == 2:
            raise TracerError("writing to a map", 7)

    monkeypatch.setattr(tracer, "set_filter", refuse_the_second)
    load = Loader(slow_from(output.path, 500))
    async with running(slow_from(output.path, 200), output, tracer, load=load) as runs:
        await reload(runs, logged)

        assert runs.service.active.config == slow_from(output.path, 500)

    assert logged.count("the kernel's filter stays wider than it has to be: writing to a map") == 1
    assert not any("not reloaded" in note for note in systemd())


async def test_a_good_config_takes_the_complaint_of_a_bad_one_back(
    output: OutputDirectory, tracer: FakeTracer, logged: Logged, systemd: Notes
) -> None:
    load = Loader(slow_from(output.path, 200))
    load.next = ConfigError(["config.yaml: bad"])
    async with running(slow_from(output.path, 200), output, tracer, load=load) as runs:
        runs.signals.reload.set()
        await logged.until("config not reloaded")
        load.next = slow_from(output.path, 300)
        await reload(runs, logged)

    ready = [note for note in systemd() if note.startswith("READY=1")]
    assert ["not reloaded" in note for note in ready] == [False, True, False]


async def test_the_audit_tells_of_each_config(
    output: OutputDirectory, tracer: FakeTracer, logged: Logged
) -> None:
    first, second = slow_from(output.path, 200), slow_from(output.path, 300)
    async with running(first, output, tracer, load=Loader(second)) as runs:
        await reload(runs, logged)

    lines = [json.loads(line) for line in (output.path / "audit.jsonl").read_text().splitlines()]
    hashes = [line["sha256"] for line in lines if line["event"] == "config"]
    assert hashes == [first.fingerprint(), second.fingerprint()]


async def test_an_incident_that_is_collected_goes_on_over_a_reload(
    output: OutputDirectory, tracer: FakeTracer, script: Script, logged: Logged
) -> None:
    config = slow_from(output.path, 200, watcher={"actions": ["dmesg"], "post_trigger_sec": 1})
    load = Loader(slow_from(output.path, 100))
    async with running(config, output, tracer, load=load) as runs:
        for _ in range(2):
            runs.send(read_of(300))
        await logged.until("incident opened")
        await reload(runs, logged)
        await logged.until("bundle sealed")

    assert len(await all_manifests(output)) == 1
    assert names_in(output.path)[-1] == "audit.jsonl"
