"""The table of detectors and the folder tell the same."""

from pathlib import Path
from typing import get_args

import pytest

from aod import detectors
from aod.config.tree import Anomaly
from aod.smb.filter import Filter

SHARED = {"__init__", "anomaly", "detection", "detector", "judges", "scope", "window", "words"}


def test_every_file_of_the_folder_has_its_line_in_the_table() -> None:
    stems = {path.stem for path in Path(detectors.__file__).parent.glob("*.py")}

    assert {f"aod.detectors.{stem}" for stem in stems - SHARED} == set(detectors.TABLE.values())


@pytest.mark.parametrize("kind", detectors.TABLE)
def test_a_detector_is_called_as_its_type_and_its_module(kind: str) -> None:
    detector = detectors.load(kind)

    assert detector.__name__ == kind
    assert detector.__module__ == f"aod.detectors.{kind.lower()}"


@pytest.mark.parametrize("section", get_args(Anomaly))
def test_every_type_of_the_config_makes_its_detector(section: type) -> None:
    (kind,) = get_args(section.model_fields["type"].annotation)  # type: ignore[attr-defined] # pydantic
    config = section(type=kind, actions=("dmesg",))

    made = detectors.load(kind).from_config("mine", config, 1_000_000_000)

    assert made.name == "mine"
    assert isinstance(made.filter, Filter)
