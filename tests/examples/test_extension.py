"""The package of examples/extension, installed as a user would, and at work."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aod.bundle import read_member
from tests import ROOT
from tests.plain import manifest_in

PACKAGE = ROOT / "examples" / "extension"
CROWD = {
    "type": "Crowd",
    "threshold_ms": 100,
    "acceptable_processes": 2,
    "actions": ["pressure"],
}
FEED = """
import asyncio, sys
import numpy as np
from aod.commands.collect import keep
from aod.config import load
from aod.detectors.detection import make_detectors
from aod.events import empty
from aod.incidents.evidence import Evidence
from aod.incidents.unwatched import Lost, NoDetection, NoTracer
from aod.smb.names import Names
from pathlib import Path

async def main():
    config = load(Path(sys.argv[1]), {})
    (detector,) = make_detectors(config.guardian.anomalies, config.watch_interval_ns, Names())
    events = empty(3)
    events["kind"], events["latency_ns"] = 1, 150_000_000
    events["time_ns"], events["pid"] = [1, 2, 3], [7, 8, 9]
    assert detector.feed(events[:2]) is None
    found = detector.feed(events[2:]).stamped(1_700_000_000_000_000_000)
    evidence = Evidence(Names(), NoTracer(), NoDetection(), Lost({}))
    await keep(found, config, evidence, print)

asyncio.run(main())
"""


FIRE = """
import sys
from aod.config import load
from aod.detectors.detection import make_detectors
from aod.doctor.fire import samples
from aod.smb.names import Names
from pathlib import Path

config = load(Path(sys.argv[1]), {})
(detector,) = make_detectors(config.guardian.anomalies, config.watch_interval_ns, Names())
(sample,) = samples(detector, config.guardian.anomalies[detector.name])
found = detector.feed(sample)
print(found.name, found.anomaly, found.count)
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a Python needs to find the package."""
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += ["--no-deps", "--no-build-isolation", "--target", str(target)]
    source = tmp_path_factory.mktemp("source") / "extension"
    shutil.copytree(PACKAGE, source)
    subprocess.run([*pip, str(source)], check=True, timeout=120)
    return {**os.environ, "PYTHONPATH": f"{target}:{ROOT}"}


def write_config(folder: Path, **crowd: Any) -> Path:
    config = folder / "config.yaml"
    plain = {
        "aod_output_dir": str(folder / "out"),
        "min_free_mb": 0,
        "guardian": {"anomalies": {"slow-crowd": CROWD | crowd}},
        "watcher": {"actions": ["pressure"], "post_trigger_sec": 0},
    }
    config.write_text(json.dumps(plain))
    return config


def aod(environment: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, *map(str, arguments)]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60)


def test_its_types_are_known_once_it_is_installed(
    environment: dict[str, str], tmp_path: Path
) -> None:
    config = write_config(tmp_path)

    there = aod(environment, "-m", "aod", "config", "check", "--config", config)
    without = aod(dict(os.environ), "-m", "aod", "config", "check", "--config", config)

    assert (there.returncode, there.stderr) == (0, "")
    assert without.returncode == 2
    assert "slow-crowd.type: 'Crowd' is not allowed" in without.stderr
    assert "'pressure' is not allowed" in without.stderr


def test_its_keys_are_checked_as_those_of_aod_are(
    environment: dict[str, str], tmp_path: Path
) -> None:
    config = write_config(tmp_path, acceptable_processes=0, treshold_ms=5)

    found = aod(environment, "-m", "aod", "config", "check", "--config", config)

    assert found.returncode == 2
    assert "acceptable_processes: " in found.stderr
    assert "treshold_ms: Extra inputs are not permitted" in found.stderr


def test_its_kind_has_its_own_words(environment: dict[str, str]) -> None:
    code = "from aod.detectors.words import words_of; print(words_of('crowd').verb)"

    assert aod(environment, "-c", code).stdout == "slow at the same time\n"
    assert aod(dict(os.environ), "-c", code).stdout == "counted\n"


def test_doctor_knows_what_to_make_up_for_it(environment: dict[str, str], tmp_path: Path) -> None:
    done = aod(environment, "-c", FIRE, write_config(tmp_path))

    assert (done.stdout, done.stderr) == ("slow-crowd crowd 3\n", "")


def test_its_anomaly_becomes_a_bundle_with_what_its_action_keeps(
    environment: dict[str, str], tmp_path: Path
) -> None:
    done = aod(environment, "-c", FEED, write_config(tmp_path))

    assert done.stderr == ""
    bundle = Path(done.stdout.strip())
    manifest = manifest_in(bundle)
    (anomaly,) = manifest["anomalies"]
    assert (manifest["trigger"], anomaly["anomaly"], anomaly["count"]) == ("slow-crowd", "crowd", 3)
    result = manifest["actions"]["pressure"]
    if result["state"] == "ok":
        assert read_member(bundle, "pressure.txt").startswith(b"# cpu\nsome avg10=")
    else:
        assert "CONFIG_PSI" in result["reason"]
