"""Which programs of the actions are missing, in a folder of the test's making."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aod.doctor import programs, settings
from aod.doctor.finding import Finding, Severity
from aod.processes import programs as found

ACTIONS = ("debugdata", "tcpdump", "smbinfo")
CONFIG = """\
aod_output_dir: {output}
guardian: {{anomalies: {{latency: {{type: Latency, actions: [tcpdump]}}}}}}
watcher: {{actions: [stats, tcpdump]}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder in which programs are looked for, with setpriv and prlimit in it."""
    folder = tmp_path / "bin"
    folder.mkdir(mode=0o755)
    for name in ("setpriv", "prlimit"):
        install(folder / name)
    monkeypatch.setattr(found, "SEARCH_PATH", str(folder))
    found.find.cache_clear()
    yield folder
    found.find.cache_clear()


def install(path: Path) -> None:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


def test_an_action_whose_program_is_missing_is_a_note(folder: Path) -> None:
    install(folder / "smbinfo")

    assert list(programs.examine(ACTIONS)) == [
        Finding(Severity.NOTE, "action", "tcpdump: tcpdump is not installed: skipped")
    ]


@pytest.mark.parametrize("name", ["setpriv", "prlimit"])
def test_what_starts_every_program_is_a_problem(folder: Path, name: str) -> None:
    (folder / name).unlink()

    (finding,) = programs.examine()

    assert (finding.state, finding.subject) == (Severity.PROBLEM, "actions")
    assert f"{name} is not installed" in finding.text


def test_only_the_configured_actions_are_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG.format(output=tmp_path))

    notes = [
        each.text
        for each in settings.examine(file, {}, is_named=True)
        if each.state is Severity.NOTE
    ]

    assert notes == ["tcpdump: tcpdump is not installed: skipped"]


def test_without_a_config_what_starts_every_program_is_looked_at(folder: Path) -> None:
    (folder / "setpriv").unlink()

    _, finding = settings.examine(folder / "none.yaml", {}, is_named=False)

    assert finding.state is Severity.PROBLEM
