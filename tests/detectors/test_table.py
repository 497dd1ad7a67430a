"""The table of detectors and the folder tell the same."""

from pathlib import Path

import pytest

from aod import detectors
from aod.config.tree import Guardian
from aod.smb.filter import Filter

SHARED = {
    "__init__", "anomaly", "detection", "detector", "running", "scope", "section", "window",
    "words",
}  # fmt: skip


def test_every_file_of_the_folder_has_its_line_in_the_table() -> None:
    stems = {path.stem for path in Path(detectors.__file__).parent.glob("*.py")}

    assert {f"aod.detectors.{stem}" for stem in stems - SHARED} == set(detectors.TABLE.values())


@pytest.mark.parametrize("kind", detectors.TABLE)
def test_a_detector_is_called_as_its_type_and_its_module(kind: str) -> None:
    detector = detectors.load(kind)

    assert detector.__name__ == kind
    assert detector.__module__ == f"aod.detectors.{kind.lower()}"


@pytest.mark.parametrize("kind", detectors.TABLE)
def test_every_type_of_the_table_makes_its_detector_from_the_config(kind: str) -> None:
    config = Guardian.model_validate({"anomalies": {"mine": {"type": kind, "actions": ["dmesg"]}}})
    section = config.anomalies["mine"]

    made = detectors.load(kind).from_config("mine", section, 1_000_000_000)

    assert type(section) is detectors.load(kind).Section
    assert made.name == "mine"
    assert isinstance(made.filter, Filter)
