"""The metrics as the service serves them; the tracer is made up."""

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from aod.activity import eviction
from aod.bundle import OutputDirectory
from aod.runtime import supervisor
from tests.conftest import Logged, make_config
from tests.fakes import FakeTracer, running

READ = ("SMB2_READ", "", "")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def scrape(port: int) -> dict[tuple[str, ...], float]:
    """Return the values by name and labels, these in the order of their names."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
    _, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in parse(body)
        for sample in family.samples
    }


async def test_the_service_serves_what_its_tracer_counts(
    output: OutputDirectory, tracer: FakeTracer, logged: Logged
) -> None:
    port = free_port()
    config = make_config(output.path, metrics={"listen": f"127.0.0.1:{port}"})

    async with running(config, output, tracer):
        await logged.until("metrics served")
        found = await scrape(port)

    count = "aod_smb_operation_duration_seconds_count"
    assert found[count, *READ] == 50
    assert found["aod_smb_open_requests", *READ] == 1
    assert found["aod_incidents_total", "latency"] == 0
    assert (found["aod_tracer_rung",], found["aod_tracer_probes",]) == (1, 1)


async def test_a_port_in_use_switches_the_metrics_off_and_nothing_else(
    output: OutputDirectory, tracer: FakeTracer, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_S", 0.0)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        config = make_config(output.path, metrics={"listen": f"127.0.0.1:{other.getsockname()[1]}"})

        async with running(config, output, tracer):
            await logged.until("component switched off until the next start component=metrics")

    assert logged.count("cannot serve metrics on 127.0.0.1") == 5
    assert logged.count("stopped ") == 1


async def test_a_reload_moves_the_endpoint(
    output: OutputDirectory, tracer: FakeTracer, logged: Logged
) -> None:
    first, second = free_port(), free_port()
    configs = [
        make_config(output.path, metrics={"listen": f"127.0.0.1:{port}"})
        for port in (first, second)
    ]

    async with running(configs[0], output, tracer, load=lambda: configs[1]) as service:
        await logged.until("metrics served")
        service.signals.reload.set()
        await logged.until("metrics served", times=2)
        found = await scrape(second)
        with contextlib.suppress(ConnectionRefusedError):
            pytest.fail(f"{await scrape(first)} is still served")

    assert found["aod_tracer_rung",] == 1


async def test_the_file_is_written_while_the_service_runs(
    output: OutputDirectory, tracer: FakeTracer, tmp_path: Path, logged: Logged
) -> None:
    path = tmp_path / "aod.prom"
    config = make_config(output.path, metrics={"textfile": str(path)})

    async with running(config, output, tracer):
        while not await asyncio.to_thread(path.exists):
            await tracer.scans.acquire()
        text = await asyncio.to_thread(path.read_text)

    assert "aod_build_info{" in text
    assert not await asyncio.to_thread(path.exists)


async def test_idle_counters_leave_the_kernel_and_stay_in_the_metrics(
    output: OutputDirectory, tracer: FakeTracer, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eviction, "PAUSE_S", 0.05)
    tracer.counter_capacity = 0
    tracer.forgotten.append((0, 0))  # nothing is open
    port = free_port()
    config = make_config(output.path, metrics={"listen": f"127.0.0.1:{port}"})

    async with running(config, output, tracer):
        await logged.until("metrics served")
        await logged.until("idle counters dropped count=1 of=1")
        found = await scrape(port)

    assert (0, 0, 8) in tracer.dropped
    assert found["aod_smb_operation_duration_seconds_count", *READ] % 50 == 0
    assert found["aod_smb_operation_duration_seconds_count", *READ] >= 50
