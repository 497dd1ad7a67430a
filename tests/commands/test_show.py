"""Tests of aod.commands.show."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from aod.bundle import Bundle, OutputDirectory, read_member
from aod.commands.show import show
from aod.errors import BundleError, ConfigError
from aod.report.summary import render
from tests import ROOT
from tests.report import manifests

app = typer.Typer()
app.command()(show)

OLD = ROOT / "tests/data/bundles/aod_1796086479720202750.tar.zst"
STAMP = manifests.RAISED
BINARY = bytes(range(256))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    with OutputDirectory.open(tmp_path / "aod") as output:
        for stamp, text in ((STAMP, b"older\n"), (STAMP + 1, b"newer\n")):
            bundle = Bundle.create(output, stamp)
            bundle.write("summary.txt", text)
            bundle.write("tcpdump.pcap", BINARY)
            bundle.seal(manifests.latency())
    return tmp_path / "aod"


def run(*arguments: str | Path) -> bytes:
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout_bytes


def test_latest_is_the_newest_and_shows_its_summary(directory: Path) -> None:
    assert run("latest", "--dir", directory) == b"newer\n"


def test_a_bundle_of_a_clock_that_was_ahead_is_not_the_latest(directory: Path) -> None:
    with OutputDirectory.open(directory) as output:
        Bundle.create(output, 4_000_000_000 * 10**9).seal(manifests.latency())

    assert run("latest", "--dir", directory) == b"newer\n"


@pytest.mark.parametrize("name", [f"{STAMP}", f"aod_{STAMP}", f"aod_{STAMP}.tar.zst"])
def test_a_bundle_is_found_by_time_stamp_or_name(directory: Path, name: str) -> None:
    assert run(name, "--dir", directory) == b"older\n"


def test_a_path_needs_no_directory(directory: Path) -> None:
    assert run(directory / f"aod_{STAMP}.tar.zst") == b"older\n"


def test_a_file_in_the_working_directory_is_a_path(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(directory)

    assert run(f"aod_{STAMP}.tar.zst") == b"older\n"


def test_json_is_the_manifest(directory: Path) -> None:
    manifest = json.loads(run("latest", "--dir", directory, "--json"))

    assert manifest["files"]["tcpdump.pcap"]["bytes"] == 256


def test_a_file_comes_out_byte_by_byte(directory: Path) -> None:
    assert run("latest", "--dir", directory, "--file", "tcpdump.pcap") == BINARY


def test_a_bundle_without_summary_is_told_from_its_manifest(tmp_path: Path) -> None:
    collecting = replace(manifests.latency(), state="collecting")
    with OutputDirectory.open(tmp_path) as output, Bundle.create(output, STAMP) as bundle:
        bundle.write_manifest(collecting)

    assert run("latest", "--dir", tmp_path).decode() == render(collecting)


def test_a_bundle_of_0_1_0_is_shown() -> None:
    assert run(OLD) == read_member(OLD, "summary.txt")
    assert run(OLD, "--json") == read_member(OLD, "manifest.json")
    assert run(OLD, "--file", "events.csv") == read_member(OLD, "events.csv")


def test_the_summary_of_a_bundle_of_0_1_0_can_be_made_anew_of_its_manifest(tmp_path: Path) -> None:
    with OutputDirectory.open(tmp_path) as output, Bundle.create(output, STAMP) as bundle:
        bundle.write("manifest.json", read_member(OLD, "manifest.json"))

    told = read_member(OLD, "summary.txt")
    assert run("latest", "--dir", tmp_path) == told.replace(
        rb"\\127.0.0.1\share", b"//127.0.0.1/share"
    )


def test_a_summary_is_shown_of_a_bundle_of_a_later_format(tmp_path: Path) -> None:
    with OutputDirectory.open(tmp_path) as output, Bundle.create(output, STAMP) as bundle:
        bundle.write("manifest.json", b'{"format": 9, "state": {"is": "sealed"}}')
        bundle.write("summary.txt", b"all is well")

    assert run("latest", "--dir", tmp_path) == b"all is well\n"


def test_a_summary_from_elsewhere_cannot_send_escapes_to_the_terminal(tmp_path: Path) -> None:
    with OutputDirectory.open(tmp_path) as output, Bundle.create(output, STAMP) as bundle:
        bundle.write("summary.txt", b"a\x1b[2J\xff\nb\n")

    assert run("latest", "--dir", tmp_path) == rb"a\x1b[2J\xff" + b"\nb\n"


@pytest.mark.parametrize("name", ["nonsense", "1763806988123456000"])
def test_an_unknown_bundle_is_an_error_that_says_where_to_look(directory: Path, name: str) -> None:
    with pytest.raises(BundleError, match=r"see: aod list"):
        run(name, "--dir", directory)


def test_latest_of_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no bundle 'latest'"):
        run("latest", "--dir", tmp_path)


def test_a_missing_path_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such file"):
        run(tmp_path / "missing.tar.zst")


def test_json_and_file_together_are_refused(directory: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be given together"):
        run("latest", "--dir", directory, "--json", "--file", "dmesg.txt")


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away takes root")
def test_where_the_bundles_belong_to_others_it_says_so(directory: Path) -> None:
    for bundle in directory.iterdir():
        os.chown(bundle, 65534, 65534)

    with pytest.raises(BundleError, match="2 bundles of another user left out"):
        run("latest", "--dir", directory)
