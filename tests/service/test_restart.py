"""What one run of the service leaves for the next."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aod.bundle import OutputDirectory
from aod.incidents.state import FILE, StateDirectory
from tests.conftest import Collect, Logged, Notes, make_config
from tests.fakes import FakeRing, FakeTracer, all_manifests, only_manifest, running, slow

Script = dict[str, Collect]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDirectory]:
    with StateDirectory(tmp_path / "state") as opened:
        yield opened


async def test_a_cooldown_survives_a_restart(
    output: OutputDirectory,
    tracer: FakeTracer,
    script: Script,
    logged: Logged,
    state: StateDirectory,
) -> None:
    config = make_config(output.path)
    async with running(config, output, tracer, state=state) as runs:
        runs.send(slow())
        await logged.until("bundle sealed")

    tracer.ring = FakeRing()
    async with running(config, output, tracer, state=state) as runs:
        runs.send(slow())
        await logged.until("anomaly held back name=latency: in its cooldown")

    assert len(await all_manifests(output)) == 1


async def test_counts_go_on_and_are_told_in_the_status(
    output: OutputDirectory,
    tracer: FakeTracer,
    script: Script,
    logged: Logged,
    state: StateDirectory,
    systemd: Notes,
) -> None:
    config = make_config(output.path, incidents={"cooldown_sec": 0})
    for times in (1, 2):
        tracer.ring = FakeRing()
        async with running(config, output, tracer, state=state) as runs:
            runs.send(slow())
            await logged.until("bundle sealed", times)

    (_, second) = [note for note in systemd() if note.startswith("READY=1")]
    assert "; 1 incident; " in second
    assert "last bundle aod_" in second


async def test_what_was_held_back_stands_in_the_next_runs_bundle(
    output: OutputDirectory,
    tracer: FakeTracer,
    script: Script,
    logged: Logged,
    state: StateDirectory,
) -> None:
    held = make_config(output.path)
    async with running(held, output, tracer, state=state) as runs:
        runs.send(slow())
        await logged.until("bundle sealed")
        runs.send(slow())
        await logged.until("anomaly held back")

    tracer.ring = FakeRing()
    async with running(held, output, tracer, state=state) as runs:
        runs.signals.collect.set()
        await logged.until("bundle sealed", times=2)

    manual = (await all_manifests(output))[-1]
    assert (manual["trigger"], manual["anomalies"][0]["reason"]) == ("manual", "SIGUSR1")
    (suppressed,) = manual["suppressed_since_last"]
    assert (suppressed["name"], suppressed["count"]) == ("latency", 1)


async def test_with_a_damaged_state_it_starts_and_works(
    output: OutputDirectory,
    tracer: FakeTracer,
    script: Script,
    logged: Logged,
    state: StateDirectory,
) -> None:
    (state.path / FILE).write_text("}{")

    async with running(make_config(output.path), output, tracer, state=state) as runs:
        runs.send(slow())
        await logged.until("bundle sealed")

    assert (await only_manifest(output))["state"] == "sealed"
    assert logged.count("state not readable, set aside") == 1


async def test_a_state_that_cannot_be_kept_harms_nothing_and_is_told_once(
    output: OutputDirectory,
    tracer: FakeTracer,
    script: Script,
    logged: Logged,
    state: StateDirectory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state, "save", refuse)
    config = make_config(output.path, watch_interval_sec=0.1)
    async with running(config, output, tracer, state=state) as runs:
        runs.send(slow())
        await logged.until("bundle sealed")
        for _ in range(5):
            await tracer.scans.acquire()

    assert logged.count("state not kept") == 1
