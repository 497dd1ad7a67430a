"""`aod trace`: what it asks of the kernel and how it prints (real mounts: tests/vm)."""

import errno
import json
from pathlib import Path

import numpy as np
import pytest

from aod import smb
from aod.commands import trace as command
from aod.errors import ConfigError
from aod.events import COMMANDS, Cause, Events, Kind, join
from aod.runtime.queue import Queue
from aod.smb import Command
from aod.smb.names import Names
from tests.events import MS, make


def judged(errors: bool, status: int, of: Command) -> bool:
    verdict = command._filter(200, errors).statuses
    return bool(verdict.counts(np.array([status], np.uint32), np.array([of], np.uint16))[0])


def printed(events: Events, tmp_path: Path, *, as_json: bool) -> None:
    (tmp_path / "cgroup").mkdir()
    names = Names(tmp_path / "DebugData", tmp_path / "cgroup")
    names.look_up(events)
    command._print(events, names, as_json)


def test_the_threshold_holds_for_every_command() -> None:
    thresholds_ns = command._filter(1.5, errors=False).thresholds_ns

    assert thresholds_ns.shape == (2, COMMANDS)
    assert (thresholds_ns == 1_500_000).all()


@pytest.mark.parametrize(
    ("errors", "status", "of", "expected"),
    [
        (True, 0xC0000022, Command.SMB2_CREATE, True),
        (False, 0xC0000022, Command.SMB2_CREATE, False),
        (True, 0xC0000034, Command.SMB2_CREATE, False),
        (True, 0xC0000034, Command.SMB2_READ, True),
    ],
)
def test_failures_are_shown_but_for_everyday_ones(
    errors: bool, status: int, of: Command, expected: bool
) -> None:
    assert smb.status_name(status)
    assert judged(errors, status, of) == expected


def test_an_operation_is_a_line_under_the_header(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = make(1, latency_ns=300 * MS, queue_ns=100 * MS, command=8, pid=42, comm=b"cat")

    printed(events, tmp_path, as_json=False)

    line = capsys.readouterr().out.rstrip("\n")
    assert " ".join(line.split()[1:]) == "READ 300.000 100.000 200.000 STATUS_SUCCESS 0x0 42 cat"
    assert line.index("42 cat") + 2 == command.HEADER.index("PID") + 3


def test_a_line_ends_with_the_files_name_and_holds_no_escape(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "# <tree id> <ses id> <persistent fid> <filename>\n0x5 0x7 0x1f a\x1b[2J b.txt\n"
    (tmp_path / "open_files").write_text(text)
    events = make(1, session_id=7, tree_id=5, file_id=0x1F, comm=b"cat")

    printed(events, tmp_path, as_json=False)

    line = capsys.readouterr().out.rstrip("\n")
    assert line[command.HEADER.index("FILE") :] == r"a\x1b[2J b.txt"


async def test_what_was_seen_is_printed_with_its_names_before_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batches = Queue[Events](2)
    batches.send(make(1))
    batches.send(make(2))
    batches.close()

    await command._print_all(batches, Names(tmp_path / "none", tmp_path), as_json=True)

    assert len(capsys.readouterr().out.splitlines()) == 2


async def test_names_are_looked_up_sparingly_only_when_printing_is_behind(tmp_path: Path) -> None:
    class Noting(Names):
        def look_up(self, events: Events, *, sparing: bool = False) -> None:
            noted.append(sparing)

    noted: list[bool] = []
    batches = Queue[Events](command.BEHIND + 2)
    for _ in range(command.BEHIND + 2):
        batches.send(make(1))
    batches.close()

    await command._print_all(batches, Noting(tmp_path / "none", tmp_path), as_json=True)

    assert noted == [True, *[False] * (command.BEHIND + 1)]


def test_what_was_aborted_shows_its_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = make(1, error=-112)
    events["kind"] = Kind.ABORTED

    printed(events, tmp_path, as_json=False)

    assert "aborted EHOSTDOWN" in capsys.readouterr().out


def test_what_has_no_request_is_told_by_its_cause_and_errno(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = make(1, kind=Kind.RECONNECT, cause=Cause.PARTIAL_SEND, connection_id=2)
    unsent = make(2, kind=Kind.UNSENT, error=-112, pid=42, comm=b"cp")

    printed(join(lost, unsent), tmp_path, as_json=False)

    first, second = (line.split()[1:] for line in capsys.readouterr().out.splitlines())
    assert " ".join(first) == "reconnect 0.000 0.000 0.000 partial send 0x2 0"
    assert " ".join(second) == "no request 0.000 0.000 0.000 unsent EHOSTDOWN - 42 cp"


@pytest.mark.parametrize("errors", [True, False])
def test_lost_connections_and_failures_without_a_request_come_with_the_errors(
    errors: bool,
) -> None:
    wanted = command._filter(200, errors)

    assert (Kind.RECONNECT in wanted.kinds, Kind.UNSENT in wanted.kinds) == (errors, errors)
    assert wanted.errors[errno.EHOSTDOWN] == errors
    assert not wanted.errors[errno.EOPNOTSUPP]


def test_json_is_an_object_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed(make(1, 2, command=9), tmp_path, as_json=True)

    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["command"] for row in rows] == ["SMB2_WRITE"] * 2


@pytest.mark.parametrize("threshold_ms", [-1.0, float("nan"), float("inf"), 1e30])
def test_a_threshold_that_is_none_is_refused(threshold_ms: float) -> None:
    with pytest.raises(ConfigError, match="allowed: 0 to 86400000"):
        command.trace(threshold_ms, errors=True, as_json=False)
