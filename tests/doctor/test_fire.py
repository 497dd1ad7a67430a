"""The made-up operations raise what the config watches for (through a real ring: tests/bpf)."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aod.config import Config
from aod.detectors.detection import make_detectors
from aod.doctor import fire
from aod.errors import HostError, TracerError
from aod.smb.names import Names
from tests.conftest import make_config

COUNTED = {"acceptable_count": 2}
TRACKED = {"mode": "trackonly", **COUNTED}
ANOMALIES: dict[str, dict[str, Any]] = {
    "latency": {"type": "Latency", **COUNTED},
    "one command": {"type": "Latency", **TRACKED, "track_commands": [{"command": "SMB2_FLUSH"}]},
    "threshold 0": {"type": "Latency", **COUNTED, "default_threshold_ms": 0},
    "error": {"type": "Error", **COUNTED},
    "one status": {"type": "Error", **TRACKED, "track_codes": ["STATUS_DISK_FULL"]},
    "one errno": {"type": "Error", **TRACKED, "track_codes": ["EXDEV"]},
    "inflight": {"type": "Inflight", "threshold_ms": 7000},
    "reconnect": {"type": "Reconnect", **COUNTED},
    "credits": {"type": "Credits", **COUNTED},
    "one share": {"type": "Latency", **COUNTED, "shares": ["//nas/backup"], "per": "share"},
}


def watching(path: Path, *sections: dict[str, Any]) -> Config:
    """Return a config that watches for these anomalies."""
    anomalies = {f"a{i}": {"actions": ["stats"], **each} for i, each in enumerate(sections)}
    return make_config(path, guardian={"anomalies": anomalies})


@pytest.mark.parametrize("section", ANOMALIES.values(), ids=ANOMALIES)
def test_one_of_the_samples_raises_the_anomaly(tmp_path: Path, section: dict[str, Any]) -> None:
    config = watching(tmp_path, section)
    (detector,) = make_detectors(config.guardian.anomalies, config.watch_interval_ns, Names())

    found = [
        fire._judge(detector, sample)
        for sample in fire.samples(detector, config.guardian.anomalies["a0"])
    ]

    anomaly = next(filter(None, found))
    assert anomaly.count == (1 if section["type"] == "Inflight" else 3)
    assert set(anomaly.events["comm"]) == {fire.COMM}
    assert np.all(anomaly.events["pid"] > 0)


def test_an_old_kernel_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    class OldKernels:
        def __init__(self, *_: object, optional: tuple[str, ...] = (), **__: object) -> None:
            if optional:
                raise TracerError("loading smb.bpf.o failed", 22)

        def close(self) -> None:
            pass

    monkeypatch.setattr(fire, "Tracer", OldKernels)

    with pytest.raises(HostError, match=r"needs Linux 5\.17"):
        fire._load()


def test_what_is_not_the_generators_fault_is_told_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise TracerError("loading smb.bpf.o failed", 12)

    monkeypatch.setattr(fire, "Tracer", refuse)

    with pytest.raises(TracerError, match="Cannot allocate memory"):
        fire._load()
