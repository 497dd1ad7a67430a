"""The detectors of a config: what each counts by."""

from pathlib import Path

import pytest

from aod.detectors.detection import Detection
from tests.conftest import make_config
from tests.events import MS, make
from tests.evidence import no_names


@pytest.fixture
def detection(tmp_path: Path) -> Detection:
    latency = {"type": "Latency", "default_threshold_ms": 250, "actions": ["stats"]}
    error = {"type": "Error", "actions": ["stats"]}
    config = make_config(tmp_path, guardian={"anomalies": {"slow": latency, "failed": error}})
    return Detection(config, no_names(), lambda anomaly: None)


def test_an_anomaly_has_the_limits_of_its_own_detector(detection: Detection) -> None:
    found = detection.thresholds_ns("slow", make(1, 2, command=8))

    assert found is not None
    assert found.tolist() == [250 * MS] * 2


def test_what_no_detector_raises_has_no_limit(detection: Detection) -> None:
    assert detection.thresholds_ns("manual", make(1)) is None
