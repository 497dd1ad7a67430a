"""Events and anomalies in words."""

import json
import os
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aod.bundle import manifest
from aod.bundle.describe import (
    describe_anomaly,
    describe_events,
    describe_host,
    describe_versions,
)
from aod.detectors.anomaly import Anomaly, AnomalyType
from aod.events import Cause, Events, Flag, Kind, empty, join
from aod.host.threads import Thread
from aod.smb.filter import NEVER
from aod.smb.names import Names
from tests.conftest import make_anomaly
from tests.events import MS, SECOND, make

DEBUG_DATA = r"""1) ConnectionId: 0x1 Hostname: nas01
	TCP status: 1
	1) Address: 10.0.0.1 Uses: 1
		SessionId: 0x4000000000001
		Channel: 2 ConnectionId: 0x2
		1) \\nas01\media Mounts: 1 DevInfo: 0x20
		tid: 0x5
"""


@pytest.fixture
def names(tmp_path: Path) -> Names:
    (tmp_path / "DebugData").write_text(DEBUG_DATA)
    known = Names(tmp_path / "DebugData", tmp_path)
    known.refresh()
    return known


FILES = "# <tree id> <ses id> <persistent fid> <filename>\n0x5 0x4000000000001 0x1f film.mkv\n"


def described(events: Events, names: Names, thresholds_ns: Any = None) -> list[manifest.Operation]:
    return describe_events(events, thresholds_ns, names, 1_000 * SECOND)


def test_an_event_is_told_with_names(names: Names) -> None:
    ids = {"connection_id": 1, "session_id": 0x4000000000001, "tree_id": 5}
    times = {"latency_ns": 300 * MS, "queue_ns": 100 * MS, "payload_ns": 50 * MS}
    events = make(7 * SECOND, command=8, status=0xC0000022, error=-13, comm=b"cat", **ids, **times)

    (row,) = described(events, names, np.array([200 * MS], np.uint64))

    assert row.time == "1970-01-01T00:16:47.000000+00:00"
    assert (row.server, row.share, row.command) == ("nas01", "media", "SMB2_READ")
    assert (row.status, row.error) == ("STATUS_ACCESS_DENIED", "EACCES")
    assert (row.server_ns, row.threshold_ns) == (150 * MS, 200 * MS)


def test_an_event_is_told_with_its_file_and_channel(names: Names, tmp_path: Path) -> None:
    (tmp_path / "open_files").write_text(FILES)
    ids = {"connection_id": 2, "session_id": 0x4000000000001, "tree_id": 5}
    events = make(1, 2, **ids)
    events["file_id"] = [0x1F, 0x20]
    names.look_up(events)

    rows = described(events, names)

    assert [(row.channel, row.share) for row in rows] == [("2", "media")] * 2
    assert [(row.file_id, row.file) for row in rows] == [("0x1f", "film.mkv"), ("0x20", "")]


@pytest.mark.parametrize("thresholds_ns", [None, np.array([NEVER], np.uint64)])
def test_what_has_no_threshold_says_none(names: Names, thresholds_ns: Any) -> None:
    (row,) = described(make(1), names, thresholds_ns)

    assert row.threshold_ns is None


def test_flags_and_kind_are_words(names: Names) -> None:
    events = make(1, flags=Flag.PENDED | Flag.WRITEBACK)
    events["kind"] = Kind.ABORTED

    (row,) = described(events, names)

    assert (row.flags, row.kind) == (("pended", "writeback"), "aborted")


@pytest.mark.parametrize(
    ("kind", "cause", "command", "told"),
    [
        (Kind.COMPLETED, 0, "SMB2_NEGOTIATE", ""),
        (Kind.SESSION_EXPIRED, 0, "SMB2_NEGOTIATE", ""),
        (Kind.UNSENT, 0, "", ""),
        (Kind.RECONNECT, Cause.PARTIAL_SEND, "", "partial_send"),
        (Kind.CREDIT_WAIT, Cause.CREDITS_TIMEOUT, "", "credits_timeout"),
    ],
)
def test_only_a_request_has_a_command(
    names: Names, kind: Kind, cause: int, command: str, told: str
) -> None:
    (row,) = described(make(1, kind=kind, cause=cause), names)

    assert (row.command, row.cause) == (command, told)


def test_a_thread_that_waits_to_send_has_no_command_and_no_threshold(names: Names) -> None:
    waits = make(9, kind=Kind.WAITING, latency_ns=8, queue_ns=8)
    sent = make(9, kind=Kind.UNANSWERED, latency_ns=8, queue_ns=8, connection_id=1)

    rows = described(join(waits, sent), names, np.array([5, 5], np.uint64))

    assert [row.command for row in rows] == ["", "SMB2_NEGOTIATE"]
    assert [row.threshold_ns for row in rows] == [None, 5]


def test_a_damaged_process_name_can_still_be_written(names: Names) -> None:
    rows = described(make(1, comm=b"\xff\xfe"), names)

    assert json.loads(json.dumps(manifest.row(rows[0])))["comm"] == "\ufffd\ufffd"


def test_an_anomaly_is_told_with_worst_median_and_span(names: Names) -> None:
    events = make(1 * SECOND, 2 * SECOND, 3 * SECOND)
    events["latency_ns"] = [5, 9, 7]
    raised = make_anomaly().stamped(1_000 * SECOND)
    anomaly = replace(raised, count=10, events=events, shares=(r"\\nas01\media",))
    rows = described(events, names)
    limits = {"tool": "smbslower", "default_threshold_ms": 200, "mode": "all", "none_ms": None}

    told = describe_anomaly(anomaly, 1, rows, limits, usual_latency_ns=3)

    assert (told.count, told.repeats, told.events_omitted) == (10, 1, 7)
    assert (told.first, told.last) == (rows[0].time, rows[2].time)
    assert (told.worst, told.median_latency_ns, told.usual_latency_ns) == (rows[1], 7, 3)
    assert (told.tool, told.limit) == ("smbslower", {"default_threshold_ms": 200})
    assert told.shares == (r"\\nas01\media",)


def test_what_is_open_began_before_its_time(names: Names) -> None:
    events = make(7 * SECOND, 8 * SECOND, kind=Kind.UNANSWERED)
    events["latency_ns"] = [SECOND, 5 * SECOND]

    def first_of(kind: AnomalyType) -> str:
        anomaly = Anomaly(kind, "x", 8 * SECOND, 8 * SECOND, count=2, events=events)
        return describe_anomaly(anomaly, 0, described(events, names), {}, 0).first

    assert first_of(AnomalyType.INFLIGHT) == "1970-01-01T00:00:03.000000+00:00"
    assert first_of(AnomalyType.LATENCY) == "1970-01-01T00:00:07.000000+00:00"


def test_only_what_a_thread_was_looked_at_for_has_its_stack(names: Names) -> None:
    events = make(1, 2, connection_id=1, tid=8)
    events["message_id"] = [7, 9]
    task = Thread("D (disk sleep)", "wait_for_response", ("a", "b"))
    anomaly = replace(make_anomaly(), events=events, threads={(1, 9, 8): task})

    first, second = describe_anomaly(anomaly, 0, described(events, names), {}, 0).events

    assert (first.task_state, first.wchan, first.stack) == ("", "", ())
    assert (second.task_state, second.wchan, second.stack) == (task.state, task.wchan, task.stack)


def test_an_anomaly_without_events_is_told_too() -> None:
    anomaly = replace(make_anomaly("manual"), events=empty())

    told = describe_anomaly(anomaly, 0, [], {}, usual_latency_ns=0)

    assert told.worst is None
    assert told.first == told.raised == "1970-01-01T00:00:01.000000+00:00"
    assert (told.median_latency_ns, told.events_omitted) == (0, 0)


def test_the_host_is_told_as_uname_does() -> None:
    host = describe_host()

    assert (host.name, host.kernel) == (os.uname().nodename, os.uname().release)
    assert host.os


def test_the_versions_name_aod_and_python() -> None:
    expected = manifest.Versions("0.1.0", platform.python_version(), "v1.1")

    assert describe_versions("v1.1") == expected
