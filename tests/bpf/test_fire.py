"""A made-up anomaly through the real ring."""

import asyncio
from pathlib import Path

import pytest

from aod.doctor import fire
from aod.errors import HostError
from aod.tracer.libbpf import libbpf_version
from tests.doctor.test_fire import ANOMALIES, watching


async def test_an_anomaly_comes_out_of_the_ring(tmp_path: Path) -> None:
    shot = await fire.fire(watching(tmp_path, ANOMALIES["error"], ANOMALIES["latency"]))

    anomaly = shot.anomaly
    assert (anomaly.name, anomaly.count, anomaly.reason) == ("a0", 3, fire.REASON)
    assert anomaly.timestamp > anomaly.raised_ns
    described = await asyncio.to_thread(shot.evidence.describe, anomaly, 0, {}, 0)
    manifest = await asyncio.to_thread(shot.evidence.manifest, "collecting", [described])
    assert manifest.lost == {"events": 0}
    assert (manifest.tracer, manifest.versions.libbpf) == (None, libbpf_version())
    assert {(each.comm, each.status) for each in described.events} == {
        ("aod-doctor", "STATUS_ACCESS_DENIED")
    }


async def test_as_many_come_as_the_config_accepts_and_one_more(tmp_path: Path) -> None:
    section = {**ANOMALIES["latency"], "acceptable_count": 10_000}

    shot = await fire.fire(watching(tmp_path, section))

    assert shot.anomaly.count == 10_001


async def test_a_config_that_watches_other_processes_is_told(tmp_path: Path) -> None:
    section = {**ANOMALIES["latency"], "processes": ["nginx"]}

    with pytest.raises(HostError, match="the config may watch others only"):
        await fire.fire(watching(tmp_path, section))
