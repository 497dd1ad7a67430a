"""`aod config`: what it prints, and what it loads."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from aod.commands.config import app
from aod.config import load
from aod.errors import ConfigError
from tests import ROOT

SHIPPED = ROOT / "config/config.yaml"
SEED = ROOT / "tests/config/data/seed.yaml"


def run(*arguments: str, environ: dict[str, str] | None = None) -> str:
    result = CliRunner().invoke(app, arguments, env=environ, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_check_of_the_shipped_file_is_ok() -> None:
    assert run("check", "--config", str(SHIPPED)) == f"{SHIPPED}: ok\n"


def test_check_warns_of_a_total_below_two_bundles() -> None:
    lines = run("check", "--config", str(SEED)).splitlines()

    assert lines[0].startswith(f"warning: {SEED}:58: cleanup.max_total_log_size_mb: is less")
    assert lines[1:] == [f"{SEED}: ok"]


def test_check_leaves_a_config_error_to_main(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        run("check", "--config", str(tmp_path / "none"))


@pytest.mark.parametrize("source", [SHIPPED, SEED])
def test_what_show_prints_loads_as_the_same_config(source: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.yaml"
    copy.write_text(run("show", "--config", str(source)))

    assert load(copy, {}) == load(source, {})


def test_show_names_the_source_of_each_value() -> None:
    variable = "AOD_CLEANUP__MAX_LOG_AGE_DAYS"

    lines = run("show", "--config", str(SEED), environ={variable: "3"}).splitlines()

    assert f"watch_interval_sec: 1  # {SEED}:2" in lines
    assert f"  max_log_age_days: 3  # {variable}" in lines
    assert "min_free_mb: 512  # default" in lines
    assert f"        - command: SMB2_WRITE  # {SEED}:16" in lines


def test_show_as_json_has_value_and_source_by_key() -> None:
    shown = json.loads(run("show", "--config", str(SEED), "--json"))

    key = "guardian.anomalies.latency.track_commands[0].threshold"
    assert shown[key] == {"value": 50, "source": f"{SEED}:17"}


def test_importing_the_command_loads_neither_pydantic_nor_numpy() -> None:
    code = "import sys, aod.__main__; print({'pydantic', 'numpy', 'ruamel'} & {*sys.modules})"

    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert result.stdout == "set()\n"
