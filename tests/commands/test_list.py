"""Tests of aod.commands.list."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from aod.bundle import Bundle, OutputDirectory
from aod.bundle.manifest import Manifest, Operation
from aod.commands import options
from aod.commands.list import list_bundles
from aod.config import load, outputdir
from aod.errors import ConfigError, HostError
from tests import ROOT
from tests.report import manifests

app = typer.Typer()
app.command()(list_bundles)


OLD = ROOT / "tests/data/bundles/aod_1796086479720202750.tar.zst"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away takes root")
CONFIG = """\
watch_interval_sec: 1
guardian:
  anomalies:
    error: {type: Error, tool: smbiosnoop, mode: all, acceptable_count: 0, actions: [dmesg]}
watcher:
  actions: [dmesg]
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "aod"


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def seal(directory: Path, timestamp: int, manifest: Manifest) -> Path:
    with OutputDirectory.open(directory) as output:
        return Bundle.create(output, timestamp).seal(manifest)


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_bundles_are_listed_newest_first_with_what_and_where(directory: Path) -> None:
    seal(directory, manifests.RAISED, manifests.latency())
    seal(directory, manifests.RAISED + 60 * manifests.SECOND, manifests.emergency())

    lines = run("--dir", directory).splitlines()

    assert [line[:19] for line in lines[1:]] == ["2025-11-22 10:24:08", "2025-11-22 10:23:08"]
    assert "latency x 1, error x 14" in lines[1]
    assert "35.2 s" in lines[1]
    assert "//files.example/backup, //nas01/media" in lines[1]
    assert "latency x 2126" in lines[2]
    assert lines[2].endswith("sealed")


def test_a_bundle_of_a_clock_that_was_ahead_is_listed_last(directory: Path) -> None:
    for stamp_s in (4_000_000_000, 1_700_000_000, 1_600_000_000):
        seal(directory, stamp_s * 10**9, manifests.manual())

    lines = run("--dir", directory).splitlines()

    assert [line[:4] for line in lines[1:]] == ["2023", "2020", "2096"]


def test_a_damaged_bundle_is_listed_as_damaged(directory: Path) -> None:
    seal(directory, manifests.RAISED, manifests.manual())
    (directory / f"aod_{manifests.RAISED + 1}.tar.zst").write_bytes(b"junk")

    lines = run("--dir", directory).splitlines()

    assert lines[1].endswith("damaged")
    assert lines[2].endswith("sealed")


ENDLESS = {"name": "x", "count": 1, "worst": {"latency_ns": float("inf")}, "events": []}


@pytest.mark.parametrize("anomalies", [None, 5, [None], [{"name": "x"}], [ENDLESS]])
def test_a_manifest_of_another_shape_is_listed_as_damaged(directory: Path, anomalies: Any) -> None:
    content = {"format": 1, "state": "sealed", "anomalies": anomalies}
    with OutputDirectory.open(directory) as output, Bundle.create(output, 5) as bundle:
        bundle.write("manifest.json", json.dumps(content).encode())

    assert run("--dir", directory).rstrip().endswith("damaged")
    (listed,) = json.loads(run("--dir", directory, "--json"))
    assert (listed["state"], listed["anomalies"]) == ("damaged", [])
    assert "manifest.json" in listed["problem"]


def test_an_open_directory_is_listed_with_its_state(directory: Path) -> None:
    collecting = replace(manifests.latency(), state="collecting")
    with OutputDirectory.open(directory) as output, Bundle.create(output, 5) as bundle:
        bundle.write_manifest(collecting)

    assert run("--dir", directory).rstrip().endswith("collecting")


def test_json_has_numbers_with_their_units(directory: Path) -> None:
    sealed = seal(directory, manifests.RAISED, manifests.latency())

    (bundle,) = json.loads(run("--dir", directory, "--json"))

    assert bundle["name"] == sealed.name
    assert bundle["bytes"] == sealed.stat().st_size
    assert bundle["worst_latency_ns"] == 1_077 * manifests.MS
    assert bundle["anomalies"] == [{"name": "latency", "count": 2126}]
    assert bundle["suppressed_since_last"][0]["count"] == 31


def test_a_share_that_nobody_knows_is_none_in_json(directory: Path) -> None:
    manifest = manifests.latency()
    nowhere = replace(manifest.anomalies[0], events=(Operation(latency_ns=1),))
    seal(directory, manifests.RAISED, replace(manifest, anomalies=(nowhere,)))

    (bundle,) = json.loads(run("--dir", directory, "--json"))

    assert bundle["shares"] == []


def test_a_bundle_of_0_1_0_is_listed(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    shutil.copy(OLD, directory)

    (line,) = run("--dir", directory).splitlines()[1:]
    (bundle,) = json.loads(run("--dir", directory, "--json"))

    assert line.split()[2:6] == [OLD.name, "latency", "x", "66"]
    assert line.endswith("sealed")
    assert bundle == {
        "name": OLD.name,
        "timestamp": 1796086479720202750,
        "bytes": OLD.stat().st_size,
        "state": "sealed",
        "anomalies": [{"name": "latency", "count": 66}],
        "worst_latency_ns": 846670878,
        "shares": ["//127.0.0.1/share"],
        "suppressed_since_last": [],
    }


def test_an_empty_directory_is_said_to_be_empty(directory: Path) -> None:
    directory.mkdir()

    assert run("--dir", directory) == f"no bundles in {directory}\n"
    assert json.loads(run("--dir", directory, "--json")) == []


def test_a_missing_directory_is_an_error_and_is_not_made(directory: Path) -> None:
    with pytest.raises(HostError, match="cannot open the output directory"):
        run("--dir", directory)

    assert not directory.exists()


def test_the_config_names_the_directory(directory: Path, tmp_path: Path) -> None:
    seal(directory, manifests.RAISED, manifests.manual())
    config = tmp_path / "config.yaml"
    config.write_text(f"{CONFIG}aod_output_dir: {directory}\n")

    assert run("--config", config).splitlines()[1].split()[3:5] == ["manual", "-"]


def test_a_bad_config_hides_no_bundle(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal(directory, manifests.RAISED, manifests.latency())
    config = tmp_path / "config.yaml"
    config.write_text(f"{CONFIG}wrong: 1\n")
    monkeypatch.setattr(options, "DEFAULT_FILE", config)
    monkeypatch.setattr(options, "DEFAULT_DIRECTORY", directory)

    for arguments in ([], ["--config", str(config)]):
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)

        assert "latency x 2126" in result.stdout
        assert result.stderr == (
            f"aod: the config has problems (aod config check): bundles of {directory}\n"
        )


def test_a_named_config_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory"):
        run("--config", tmp_path / "none")


def test_config_and_dir_together_are_refused(directory: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be given together"):
        run("--dir", directory, "--config", directory)


@as_root
def test_what_belongs_to_others_is_not_listed_but_told(directory: Path) -> None:
    seal(directory, manifests.RAISED, manifests.manual())
    os.chown(seal(directory, manifests.RAISED + 1, manifests.latency()), 65534, 65534)

    result = CliRunner().invoke(app, ["--dir", str(directory)], catch_exceptions=False)

    assert len(result.stdout.splitlines()) == 2
    assert result.stderr == "aod: 1 bundle of another user left out (run as that user)\n"


@as_root
def test_where_all_belong_to_others_it_does_not_say_that_there_are_none(directory: Path) -> None:
    os.chown(seal(directory, manifests.RAISED, manifests.latency()), 65534, 65534)

    result = CliRunner().invoke(app, ["--dir", str(directory)], catch_exceptions=False)

    assert result.stdout == f"no bundles of your own in {directory}\n"
    assert "1 bundle of another user left out" in result.stderr


def test_a_directory_that_cannot_be_written_is_listed(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal(directory, manifests.RAISED, manifests.manual())
    config = tmp_path / "config.yaml"
    config.write_text(f"{CONFIG}aod_output_dir: {directory}\n")
    monkeypatch.setattr(outputdir, "_write_problems", lambda *_: ["mounted read-only"])
    with pytest.raises(ConfigError, match="mounted read-only"):
        load(config, {})

    assert run("--config", config).splitlines()[1].split()[3:5] == ["manual", "-"]
