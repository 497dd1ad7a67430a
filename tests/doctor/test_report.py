"""All findings together, and what follows from them."""

from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from aod.doctor import machine, probes, settings
from aod.doctor.finding import Finding, Severity
from aod.doctor.report import Report, examine

FINE = Finding(Severity.OK, "kernel", "Linux 6.1")
NOTED = Finding(Severity.NOTE, "mount", "none")
WARNED = Finding(Severity.WARNING, "mount", "of \x1b[2J SMB1")
WRONG = Finding(Severity.PROBLEM, "cifs", "is not loaded")


def examined(
    monkeypatch: pytest.MonkeyPatch, on_machine: Finding, hidden: Collection[str] = ()
) -> tuple[Report, list[Collection[str]]]:
    """Return the report of a machine, and with what the probes were tried."""
    tried: list[Collection[str]] = []

    def attach(hidden: Collection[str]) -> Iterator[Finding]:
        tried.append(hidden)
        return iter([])

    monkeypatch.setattr(machine, "examine", lambda: iter([on_machine]))
    monkeypatch.setattr(probes, "examine", attach)
    return examine(Path("/none/config.yaml"), {}, False, hidden), tried


@pytest.mark.parametrize(
    ("findings", "can_watch"),
    [([FINE, NOTED, WARNED], True), ([FINE, WRONG, NOTED], False), ([], True)],
)
def test_only_a_problem_stands_in_the_way(findings: list[Finding], can_watch: bool) -> None:
    assert Report(findings).can_watch is can_watch


def test_a_finding_is_a_line_and_the_last_one_is_the_verdict() -> None:
    *lines, empty, verdict = Report([FINE, WRONG]).lines()

    assert [line.split() for line in lines[1:]] == [
        ["ok", "kernel", "Linux", "6.1"],
        ["problem", "cifs", "is", "not", "loaded"],
    ]
    assert (empty, verdict) == ("", "aod cannot watch SMB requests now: 1 problem above.")


def test_a_name_cannot_send_escapes_to_the_terminal() -> None:
    assert all(line.isprintable() for line in Report([WARNED]).lines())


def test_json_has_every_finding() -> None:
    assert Report([WRONG]).as_dict() == {
        "can_watch": False,
        "findings": [{"state": "problem", "subject": "cifs", "text": "is not loaded"}],
    }


def test_the_probes_are_tried_on_a_machine_without_problems(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report, tried = examined(monkeypatch, WARNED, hidden=["types"])

    assert tried == [["types"]]
    assert report.can_watch


def test_no_probe_is_tried_where_it_cannot_work(monkeypatch: pytest.MonkeyPatch) -> None:
    report, tried = examined(monkeypatch, WRONG)

    assert tried == []
    assert "no probe was tried" in report.findings[1].text


def test_without_a_config_file_only_the_service_is_missing(tmp_path: Path) -> None:
    (found,) = settings.examine(tmp_path / "config.yaml", {}, is_named=False)

    assert found.state is Severity.WARNING
    assert "copy the shipped config.yaml" in found.text


def test_a_named_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    (found,) = settings.examine(tmp_path / "config.yaml", {}, is_named=True)

    assert found.state is Severity.PROBLEM


def test_every_problem_of_the_config_is_told(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("wrong: 1\nguardian: {anomalies: {}}\n")

    found = list(settings.examine(file, {}, is_named=True))

    assert len(found) > 2
    assert {each.state for each in found} == {Severity.PROBLEM}


def test_a_config_is_told_with_its_warnings_and_its_directory(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        f"aod_output_dir: {tmp_path}\ncleanup: {{max_total_log_size_mb: 1}}\n"
        "guardian: {anomalies: {latency: {type: Latency, actions: [stats]}}}\n"
        "watcher: {actions: [stats]}\n"
    )

    valid, warning, output = settings.examine(file, {}, is_named=True)

    assert [valid.state, warning.state, output.state] == [
        Severity.OK,
        Severity.WARNING,
        Severity.OK,
    ]
    assert output.text == f"bundles can be kept in {tmp_path}"
