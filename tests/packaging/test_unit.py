"""The unit is as strict as it is said to be, and gives its reasons."""

import re
import subprocess
from pathlib import Path

import pytest

from aod.actions import NAMES, create
from aod.config import Config
from aod.host.capabilities import Capability

UNIT = Path(__file__).resolve().parents[2] / "config" / "aod.service"
TEXT = UNIT.read_text()


def values(key: str) -> list[str]:
    """Return the words that a key of the unit has, over all its lines."""
    return " ".join(re.findall(rf"^{key}=(.*)$", TEXT, re.M)).split()


@pytest.mark.tool("systemd-analyze")
def test_its_exposure_is_at_most_four(tool: str) -> None:
    rated = subprocess.run(
        [tool, "security", "--offline=yes", "--threshold=40", "--no-pager", UNIT],
        capture_output=True,
        text=True,
        check=False,
    )

    assert rated.returncode == 0, rated.stdout[-200:] + rated.stderr


@pytest.mark.tool("systemd-analyze")
def test_systemd_knows_every_line_of_it(tool: str, tmp_path: Path) -> None:
    # Looked at where aod is not installed.
    unit = tmp_path / "aod.service"
    unit.write_text(TEXT.replace("/usr/bin/aod", "/bin/true"))

    verified = subprocess.run(
        [tool, "verify", "--recursive-errors=yes", "--man=no", unit],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (verified.returncode, verified.stderr) == (0, "")


def test_each_capability_has_its_reason() -> None:
    reasons = TEXT[: TEXT.index("CapabilityBoundingSet=")].replace(",", " ")

    granted = values("CapabilityBoundingSet")

    assert len(granted) == len(set(granted))
    assert [each for each in granted if f"{each} " not in reasons] == []


def test_actions_are_granted_what_they_ask_for() -> None:
    granted = {name.removeprefix("CAP_") for name in values("CapabilityBoundingSet")}

    asked = {each for name in NAMES for each in getattr(create(name), "capabilities", ())}

    assert Capability.NET_RAW in asked
    assert {each.name for each in asked} - granted == set()


def test_it_waits_longer_than_any_grace() -> None:
    bounds = Config.model_fields["shutdown_grace_sec"].metadata
    longest_s = max(limit.le for limit in bounds if hasattr(limit, "le"))

    assert int(values("TimeoutStopSec")[0]) > longest_s


def test_maps_may_be_read_at_real_time_priority() -> None:
    assert values("LimitRTPRIO") == ["1"]
    assert values("RestrictRealtime") == []


@pytest.mark.parametrize("kind", ["Configuration", "Logs", "State", "Runtime"])
def test_its_directories_are_for_root_alone(kind: str) -> None:
    assert values(f"{kind}Directory") == ["aod"]
    assert values(f"{kind}DirectoryMode") == ["0700"]
