"""The comparison with and without aod, on a folder of this machine and with a made-up aod."""

import json
import sys
from pathlib import Path

import pytest

from tests.bench import overhead
from tests.bench.overhead import KINDS, WITH, WITHOUT, Turn, main, ratios, table

AOD = """
import os, signal, sys
note = open({notes!r}, "a")
print("start", *sys.argv[1:], file=note, flush=True)
signal.signal(signal.SIGTERM, lambda *_: (print("end", file=note, flush=True), os._exit(0)))
print("INFO attached rung=1", file=sys.stderr, flush=True)
signal.pause()
"""


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


@pytest.fixture
def aod(tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A program that behaves as aod does, and notes it."""
    monkeypatch.setattr(overhead, "refuse_a_running_aod", lambda: None)
    program = tmp_path / "program.py"
    program.write_text(AOD.format(notes=str(notes)))
    return f"{sys.executable} {program}"


def turn(side: str, rate: int, p50: float = 10.0) -> Turn:
    return Turn(side, 1.0, rate, {"write": {"p50": p50, "p99": 2 * p50}}, 0.02, 61_440)


def test_the_turns_alternate_and_both_pictures_and_figures_are_kept(
    tmp_path: Path, notes: Path, aod: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "share").mkdir()
    out, picture = tmp_path / "new" / "figures.json", tmp_path / "picture.png"
    options = ["--rounds", "2", "--seconds", "0.05", "--workers", "2", "--out", str(out)]

    code = main([str(tmp_path / "share"), "--aod", aod, "--plot", str(picture), *options])

    assert code == 0
    turns = json.loads(out.read_text())["turns"]
    assert [each["side"] for each in turns] == [WITHOUT, WITH, WITH, WITHOUT]
    assert set(turns[0]["latencies_ms"]) == set(KINDS)
    assert [each["aod_memory_kb"] > 0 for each in turns] == [False, True, True, False]
    assert notes.read_text() == "start run\nend\n" * 2
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "operations/s" in capsys.readouterr().out
    assert list((tmp_path / "share").iterdir()) == []


def test_a_workload_of_ones_own_is_judged_by_how_long_it_takes(
    tmp_path: Path, aod: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures.json"
    options = ["--rounds", "1", "--work", "echo x > file", "--aod", aod, "--out", str(out)]

    assert main([str(tmp_path), *options]) == 0

    assert [each["operations"] for each in json.loads(out.read_text())["turns"]] == [1, 1]
    assert out.with_suffix(".svg").exists()
    assert "p99" not in capsys.readouterr().out


def test_a_workload_that_fails_ends_the_comparison(
    tmp_path: Path, aod: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), "--work", "exit 3", "--aod", aod]) == 1

    assert "the workload ended with exit code 3" in capsys.readouterr().err


def test_an_aod_that_does_not_start_is_told_with_what_it_said(
    tmp_path: Path, aod: str, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = "/bin/sh -c"  # of the word "run"

    assert main([str(tmp_path), "--work", "true", "--aod", broken]) == 1

    assert "aod did not attach its probes" in capsys.readouterr().err


def test_the_ratio_is_that_of_each_round() -> None:
    turns = [turn(WITHOUT, 100), turn(WITH, 90), turn(WITH, 200), turn(WITHOUT, 200)]

    assert ratios(turns, lambda each: each.rate) == [0.9, 1.0]


def test_the_table_has_median_and_spread() -> None:
    turns = [turn(WITHOUT, 100), turn(WITH, 90, p50=20), turn(WITH, 200), turn(WITHOUT, 200)]

    lines = [line.split("  ") for line in table(turns).splitlines()]

    words = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert words[1] == ["operations/s", "150", "145", "0.950", "0.900 to 1.000"]
    assert words[2] == ["write p50, ms", "10", "15", "1.500", "1.000 to 2.000"]
    assert words[-1] == ["aod itself: 0.04 s of CPU in all, 2.00% of a core, 60 MiB (PSS)"]


def test_without_matplotlib_the_table_is_there_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "figures.json"
    figures.write_text(json.dumps({"turns": [vars_of(turn(WITHOUT, 1)), vars_of(turn(WITH, 1))]}))
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    assert main(["--from", str(figures)]) == 0

    told = capsys.readouterr().out
    assert "operations/s" in told
    assert "no plot: matplotlib is not installed" in told


def vars_of(each: Turn) -> dict[str, object]:
    return {name: getattr(each, name) for name in Turn.__slots__}


def test_a_running_aod_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = tmp_path / "815"
    process.mkdir()
    (process / "cmdline").write_bytes(b"/usr/bin/python3\0/usr/bin/aod\0run\0")
    monkeypatch.setattr(overhead, "PROC", tmp_path)

    with pytest.raises(overhead.OverheadError, match="aod runs already, as process 815"):
        overhead.refuse_a_running_aod()
