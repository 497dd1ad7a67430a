"""Entries for journald, sent to a socket of ours and taken apart by a reader that is not aod's."""

import io
import logging
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from aod.runtime import journal
from aod.runtime.journal import BUNDLE, Journal, entry, is_connected
from tests import ROOT

Fields = dict[str, list[str]]
log = logging.getLogger("aod.of-this-test")


class Journald:
    """A socket that takes datagrams as journald does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)

    def entries(self) -> list[Fields]:
        found = []
        while True:
            try:
                found.append(parse(self.socket.recv(1 << 20)))
            except BlockingIOError:
                return found


def parse(data: bytes) -> Fields:
    """Take a datagram apart: `NAME=value\\n`, or `NAME\\n` + length + value + `\\n`."""
    fields: Fields = {}
    while data:
        line, _, rest = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (length,) = struct.unpack_from("<Q", rest)
            value, rest = rest[8 : 8 + length], rest[8 + length + 1 :]
        fields.setdefault(name.decode(), []).append(value.decode())
        data = rest
    return fields


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[Journald]:
    server = Journald(tmp_path / "socket")
    yield server
    server.socket.close()


@pytest.fixture
def stderr() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def to_journal(journald: Journald, stderr: TextIO) -> Iterator[Journal]:
    """The log of this module, connected to the journal of the test."""
    target = Journal(stderr, str(journald.path))
    log.addHandler(target)
    log.setLevel(logging.INFO)
    log.propagate = False
    yield target
    log.removeHandler(target)
    target.close()


@pytest.mark.usefixtures("to_journal")
def test_a_line_with_fields_is_one_entry_and_no_text(
    journald: Journald, stderr: io.StringIO
) -> None:
    fields: journal.Fields = {"AOD_ANOMALY": ["latency", "error"], "AOD_COUNT": 4, "AOD_REASON": ""}

    log.error("bundle sealed file=%s", "/x", extra=entry(BUNDLE, fields))

    assert journald.entries() == [
        {
            "MESSAGE": ["bundle sealed file=/x"],
            "PRIORITY": ["3"],
            "SYSLOG_IDENTIFIER": ["aod"],
            "MESSAGE_ID": [BUNDLE],
            "AOD_ANOMALY": ["latency", "error"],
            "AOD_COUNT": ["4"],
        }
    ]
    assert stderr.getvalue() == ""


@pytest.mark.usefixtures("to_journal")
def test_a_line_without_fields_is_text_alone(journald: Journald, stderr: io.StringIO) -> None:
    log.info("attached")

    assert stderr.getvalue() == "attached\n"
    assert journald.entries() == []


@pytest.mark.usefixtures("to_journal")
def test_a_name_from_outside_adds_neither_field_nor_line(journald: Journald) -> None:
    evil = "//nas/a\nPRIORITY=0\nAOD_BUNDLE=/etc/shadow\n\n"

    log.info("opened share=%s", evil, extra=entry(BUNDLE, {"AOD_SHARE": [evil, "//nas/b"]}))

    (found,) = journald.entries()
    assert found["AOD_SHARE"] == [evil, "//nas/b"]
    assert found["PRIORITY"] == ["6"]
    assert "AOD_BUNDLE" not in found
    assert found["MESSAGE"] == [r"opened share=//nas/a\nPRIORITY=0\nAOD_BUNDLE=/etc/shadow\n\n"]


@pytest.mark.usefixtures("to_journal")
def test_a_failure_is_one_entry_with_its_trace(journald: Journald, stderr: io.StringIO) -> None:
    log.error("not sealed", extra=entry(BUNDLE, {}), exc_info=KeyError("a"))

    (found,) = journald.entries()
    assert found["MESSAGE"] == ["not sealed\nKeyError: 'a'"]
    assert stderr.getvalue() == ""


@pytest.mark.usefixtures("to_journal")
def test_a_value_that_is_no_text_is_sent_readable(journald: Journald) -> None:
    log.info(
        "opened", extra=entry(BUNDLE, {"AOD_SHARE": b"//nas/\xff".decode(errors="surrogateescape")})
    )

    assert journald.entries()[0]["AOD_SHARE"] == [r"//nas/\udcff"]


@pytest.mark.usefixtures("to_journal")
def test_the_largest_entry_goes_in_one_datagram(journald: Journald) -> None:
    log.info("opened", extra=entry(BUNDLE, {"AOD_0": ["x" * 9999] * 99}))

    (found,) = journald.entries()
    assert found["AOD_0"] == ["x" * journal.MAX_VALUE_BYTES] * journal.MAX_VALUES


def test_a_full_socket_makes_it_text_and_is_counted_without_waiting(
    journald: Journald, to_journal: Journal, stderr: io.StringIO
) -> None:
    taken = 0
    while not to_journal.refused:
        log.info("sealed 100%% number=%d", taken, extra=entry(BUNDLE, {"AOD_COUNT": taken}))
        taken += 1

    assert stderr.getvalue() == (
        f"sealed 100% number={taken - 1} (journald did not take its fields: "
        "Resource temporarily unavailable, refused=1)\n"
    )
    assert len(journald.entries()) == taken - 1


def test_without_a_listener_it_is_text(
    journald: Journald, to_journal: Journal, stderr: io.StringIO
) -> None:
    journald.path.unlink()

    log.info("sealed", extra=entry(BUNDLE, {"AOD_COUNT": 1}))

    assert stderr.getvalue().startswith("sealed (journald did not take its fields: No such file")
    assert to_journal.refused == 1


def test_only_the_stream_that_systemd_made_leads_to_the_journal(tmp_path: Path) -> None:
    with (tmp_path / "a").open("w") as named, (tmp_path / "b").open("w") as other:
        status = os.fstat(named.fileno())
        variable = f"{status.st_dev}:{status.st_ino}"

        assert is_connected(named, variable)
        assert not is_connected(other, variable)
        assert not is_connected(named, None)
        assert not is_connected(io.StringIO(), variable)


RUN = """
import logging, os, sys
from aod.runtime import journal
status = os.fstat(2)
journal.log_to(sys.stderr, "INFO", f"{status.st_dev}:{status.st_ino}" if sys.argv[1:] else None)
logging.getLogger("aod").warning("name=%s", "a\\n<0>b", extra=journal.entry(journal.BUNDLE, {}))
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("aod").exception("failed")
"""


@pytest.mark.parametrize("connected", [True, False])
def test_text_lines_have_a_priority_for_the_journal_and_a_time_elsewhere(connected: bool) -> None:
    arguments = ["yes"] if connected else []

    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, check=True
    )

    first, second, *trace = done.stderr.splitlines()
    if connected:
        # No journald listens here, or it took the first line and this is the second.
        assert first.startswith(r"<4>WARNING aod: name=a\n<0>b")
        assert all(line.startswith("<3>") for line in [second, *trace])
    else:
        assert first[:2] == "20"
        assert first.endswith(r"WARNING aod: name=a\n<0>b")
    assert trace[-1].endswith("ZeroDivisionError: division by zero")


def test_the_ids_are_fixed_and_in_the_documents() -> None:
    usage = (ROOT / "USAGE.md").read_text()

    assert {len(each) for each in (journal.INCIDENT, journal.BUNDLE)} == {32}
    assert f"`{journal.INCIDENT}`" in usage
    assert f"`{journal.BUNDLE}`" in usage
