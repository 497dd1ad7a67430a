"""Tests of aod names."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from aod.__main__ import app
from aod.redact.pseudonyms import FILE, Pseudonyms


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    with Pseudonyms.open(tmp_path / "state") as names:
        names.pseudonym("server", "nas01")
        names.pseudonym("share", "evil\x1b[31m")
        names.save()
    return tmp_path / "state"


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["names", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_all_names_are_printed_without_escapes_to_the_terminal() -> None:
    lines = run().splitlines()

    assert lines[0] == "server1  nas01"
    assert lines[1].startswith("share1   evil")
    assert "\x1b" not in lines[1]


def test_a_pseudonym_is_looked_up_and_an_unknown_one_is_told() -> None:
    assert run("server1", "file9") == "server1  nas01\nfile9    (not known)\n"


def test_json_has_null_for_what_is_not_known() -> None:
    assert json.loads(run("--json", "server1", "file9")) == {"server1": "nas01", "file9": None}


def test_without_a_map_it_says_that_there_are_no_names(state: Path) -> None:
    (state / FILE).unlink()

    assert run() == f"no names yet in {state / FILE}\n"
    assert json.loads(run("--json")) == {}
