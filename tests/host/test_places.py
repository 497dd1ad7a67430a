from pathlib import Path

import pytest

from aod.host.places import RUNTIME, STATE, is_made_at_start, runtime_directory, state_directory


def test_systemd_names_the_directories() -> None:
    environ = {"STATE_DIRECTORY": "/srv/state:/srv/more", "RUNTIME_DIRECTORY": "/run/other"}

    assert state_directory(environ) == Path("/srv/state")
    assert runtime_directory(environ) == Path("/run/other")


def test_without_systemd_they_are_the_usual_ones() -> None:
    assert (state_directory({}), runtime_directory({})) == (STATE, RUNTIME)


def test_a_relative_directory_is_not_taken() -> None:
    assert state_directory({"STATE_DIRECTORY": "state"}) == STATE


@pytest.mark.parametrize(
    ("directory", "expected"), [("/var/log/aod", True), ("/srv/aod", True), ("/var/log", False)]
)
def test_systemd_makes_the_logs_directories_at_each_start(directory: str, expected: bool) -> None:
    environ = {"LOGS_DIRECTORY": "/var/log/aod:/srv/aod"}

    assert is_made_at_start(Path(directory), environ) is expected
    assert not is_made_at_start(Path(directory), {})
