"""Tests of aod.summary, aod.operations and aod.advice.

The golden files are written by `python -m tests.report.manifests`; read the difference.
"""

from typing import Any

import pytest

from aod.errors import BundleError
from aod.report.advice import MEANINGS, advise
from aod.report.summary import render
from aod.smb import status_codes
from tests.report.manifests import (
    DATA,
    GOLDEN,
    MS,
    anomaly,
    denied,
    event,
    interrupted,
    latency,
    manifest,
    manual,
    slow,
)


def advice(*anomalies: dict[str, Any], **fields: Any) -> str:
    return "\n".join(advise(manifest(list(anomalies), **fields)))


@pytest.mark.parametrize("name", GOLDEN)
def test_the_summary_is_the_golden_one(name: str) -> None:
    expected = (DATA / f"summary_{name}.txt").read_text(encoding="utf-8")

    assert render(GOLDEN[name]()) == expected


@pytest.mark.parametrize("name", GOLDEN)
def test_no_line_is_wider_than_120_columns(name: str) -> None:
    assert max(map(len, render(GOLDEN[name]()).splitlines())) <= 120


def test_long_names_are_cut_at_the_front_to_keep_the_table_narrow() -> None:
    path = "/".join(["a very long directory"] * 9) + "/film.mkv"

    summary = render(manifest([anomaly("latency", slow(3, file=path, comm="x" * 15))]))

    assert max(map(len, summary.splitlines())) <= 120
    assert "/film.mkv" in summary


def test_what_is_synthetic_says_so_at_the_top() -> None:
    made_up = anomaly("latency", slow(3), reason="synthetic, made by aod doctor --fire")

    assert "\nNote: synthetic, made by aod doctor --fire.\n" in render(manifest([made_up]))


def test_a_bundle_by_hand_names_only_what_was_collected() -> None:
    by_hand, dmesg = manual(), manual()["actions"]["dmesg"]

    (only,) = advise(by_hand | {"actions": {"dmesg": dmesg}})
    assert only == "No operation is attached. Begin with dmesg.txt."
    (nothing,) = advise(by_hand | {"actions": {}})
    assert nothing == "No operation is attached."


def test_a_name_cannot_send_escapes_to_the_terminal() -> None:
    names = ("comm", "file", "share", "server", "status", "command")
    hostile = event() | dict.fromkeys(names, "\x1b[2J\r")

    summary = render(manifest([anomaly("latency", [hostile])]))

    assert all(line.isprintable() for line in summary.splitlines())


def test_the_first_of_each_outcome_is_among_the_ten_of_many_errors() -> None:
    events = [denied(i) for i in range(50)] + [denied(60, status="STATUS_DISK_FULL")]

    summary = render(manifest([anomaly("error", events)]))

    assert summary.count(" CREATE ") == 10
    assert " DISK_FULL " in summary


def test_the_usual_latency_is_told_when_it_is_known() -> None:
    found = anomaly("latency", slow(2), usual_latency_ns=10 * MS)

    assert "10.0 ms before this; the worst took 34 x that" in render(manifest([found]))


def test_a_bundle_with_neither_events_nor_actions_is_still_told() -> None:
    summary = render({"format": 1, "timestamp": 1, "state": "collecting", "anomalies": []})

    assert "still being collected" in summary
    assert "No action was run" in summary


@pytest.mark.parametrize(
    "fields",
    [
        {"anomalies": 5},
        {"anomalies": [None]},
        {"timestamp": "now"},
        {"suppressed_since_last": "x"},
        {"actions": []},
        {"lost": None},
        {"host": 1.5},
    ],
)
def test_a_manifest_of_another_shape_is_refused_in_one_sentence(fields: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match="none that this aod can tell in words"):
        render(latency() | fields)


def test_what_the_disk_had_no_room_for_is_told_with_its_reason() -> None:
    disk = {
        "free_bytes": 530 << 20,
        "reserved_bytes": 40 << 20,
        "min_free_bytes": 512 << 20,
        "left_out": ["tcpdump", "events"],
    }

    summary = " ".join(render(manifest([anomaly("latency", slow(3))], disk=disk)).split())

    assert "short of room: 530 MiB free, of which open bundles had reserved 40.0 MiB" in summary
    assert "512 MiB stay free (min_free_mb). Left out: tcpdump, events." in summary


@pytest.mark.parametrize("state", ["collecting", "interrupted"])
def test_an_unfinished_bundle_does_not_claim_that_nothing_was_lost(state: str) -> None:
    summary = render(manual() | {"state": state})

    assert "Nothing that was known when" in summary


WAITS = {
    "queue_ns": "before the requests were sent: for credits or the send mutex",
    "server_ns": "between sending and the response: the server or the network",
    "payload_ns": "for data after the response had begun: bandwidth",
}


@pytest.mark.parametrize("part", WAITS)
def test_advice_goes_to_where_most_of_the_time_went(part: str) -> None:
    spent = {"queue_ns": 10 * MS, "server_ns": 10 * MS, "payload_ns": 10 * MS, part: 292 * MS}

    told = advice(anomaly("latency", [event(**spent)]))

    assert WAITS[part] in told
    assert sum(text in told for text in WAITS.values()) == 1


def test_time_that_is_spread_evenly_gives_no_culprit() -> None:
    parts = {"queue_ns": 104 * MS, "server_ns": 104 * MS, "payload_ns": 104 * MS}

    assert "No single cause stands out" in advice(anomaly("latency", [event(**parts)]))


FLAGS = {
    "pended": "STATUS_PENDING",
    "encrypted": "1 of 1 were encrypted",
    "writeback": "writeback by a kernel thread",
}


@pytest.mark.parametrize("flag", FLAGS)
def test_a_flag_is_explained_only_where_it_is_set(flag: str) -> None:
    assert FLAGS[flag] in advice(anomaly("latency", [event(flags=[flag])]))
    assert FLAGS[flag] not in advice(anomaly("latency", [event()]))


def test_a_pended_create_points_to_the_lease_of_another_client() -> None:
    pended = event(command="SMB2_CREATE", flags=["pended"])

    assert "gives back its lease" in advice(anomaly("latency", [pended]))


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ({"share": "backup"}, "2 shares of one server are affected"),
        ({"server": "nas02"}, "2 servers are affected at once"),
        ({"pid": 1}, "2 processes are slow"),
        ({}, "All slow operations are of one process, ffmpeg (pid 4711)"),
    ],
)
def test_advice_follows_from_what_the_operations_share(second: dict[str, Any], told: str) -> None:
    assert told in advice(anomaly("latency", [event(), event(1, **second)]))


def test_a_refusal_is_explained_with_the_file_to_open() -> None:
    told = advice(anomaly("error", [denied(), denied(1)]))

    assert "STATUS_ACCESS_DENIED (2): permissions at the server" in told
    assert "See mounts.txt." in told


def test_a_slow_look_up_of_a_missing_file_is_not_explained_as_a_failure() -> None:
    missing = event(status="STATUS_OBJECT_NAME_NOT_FOUND", error="ENOENT")

    assert "NOT_FOUND" not in advice(anomaly("latency", [missing]))


def test_an_event_without_names_is_told_by_its_ids() -> None:
    nameless = event(share="", server="nas01", file="", file_id="0x0")

    summary = render(manifest([anomaly("latency", [nameless])]))

    assert r"on \\nas01 tree 0x5 was slow" in summary
    assert "ffmpeg  -\n" in summary


def test_the_channels_are_told_where_a_session_has_several() -> None:
    events = [event(0), event(1, channel="2"), event(2, channel="2")]

    summary = render(manifest([anomaly("latency", events)]))

    assert "channels    2 2, primary 1\n" in summary
    assert "channels" not in render(manifest([anomaly("latency", slow(3))]))


def test_every_status_that_is_explained_exists() -> None:
    assert set(MEANINGS) <= set(status_codes())


def test_aborted_requests_point_to_the_kernels_log() -> None:
    aborted = denied(kind="aborted", error="EHOSTDOWN", status="STATUS_SUCCESS")

    told = advice(anomaly("error", [aborted]))

    assert "1 request got no answer" in told
    assert "TCP port 445" in told


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "The server hangs or the network is gone"),
        ({"flags": ["pended"]}, "The server has 1 of 1 and is working on them"),
        ({"payload_ns": 9 * MS}, "1 of 1 were answered and wait for their data"),
    ],
)
def test_a_request_that_hangs_is_explained_by_how_far_it_came(
    fields: dict[str, Any], told: str
) -> None:
    hung = event(kind="unanswered", **{"payload_ns": 0, **fields})

    advised = advice(anomaly("inflight", [hung]))

    assert told in advised
    assert "got no answer" not in advised


def test_advice_says_why_the_file_it_needs_is_missing() -> None:
    told = "\n".join(advise(interrupted()))

    assert "tcpdump (not collected: pending)" in told
    assert "stats (not collected)" in told


LOST: dict[str, Any] = {"kind": "reconnect", "cause": "reconnect", "command": ""}
WAITED: dict[str, Any] = {"kind": "credit_wait", "cause": "credits_awaited", "command": ""}


@pytest.mark.parametrize(
    ("kind", "events", "told"),
    [
        ("reconnect", [LOST], "The connection was lost. Look for"),
        ("reconnect", [LOST, LOST, LOST], "One connection was lost 3 times"),
        ("reconnect", [LOST | {"cause": "partial_send"}], "could be sent only in part"),
        ("credits", [WAITED], "Credits were waited for 1 time, up to 312 ms"),
        ("credits", [WAITED | {"cause": "credits_timeout"}], "failed for want of credits"),
        ("credits", [WAITED | {"cause": "credits_insufficient"}], "failed for want of credits"),
        ("credits", [WAITED | {"cause": "credits_overflow"}], "granted more credits"),
        ("error", [{"kind": "unsent", "error": "EIO"}], "1 operation failed without a request"),
        ("error", [{"kind": "unsent", "error": "EHOSTDOWN"}], "could not be reached"),
        ("error", [{"kind": "unanswered", "error": "EIO"}], "The client no longer waits for 1"),
        ("inflight", [{"kind": "unanswered", "command": ""}], "1 of 1 wait to send"),
    ],
)
def test_trouble_with_connections_is_explained(
    kind: str, events: list[dict[str, Any]], told: str
) -> None:
    found = anomaly(kind, [event(i, **fields) for i, fields in enumerate(events)])

    assert told in advice(found)


def test_two_channels_that_are_lost_once_are_no_storm() -> None:
    channels = [event(i, **LOST, connection_id=hex(i)) for i in range(4)]

    assert "comes back and does not hold" not in advice(anomaly("reconnect", channels))


def test_what_has_neither_share_nor_command_is_told_in_words() -> None:
    unsent = event(kind="unsent", command="", server="", share="", tree_id="0x0", error="EHOSTDOWN")

    summary = render(manifest([anomaly("error", [unsent])]))

    assert "1 operation on an unknown share failed, unsent EHOSTDOWN, by ffmpeg" in summary
    assert "no request" in summary


def test_an_anomaly_of_one_share_names_it() -> None:
    raised = anomaly("latency", slow(2), shares=[r"\\nas01\media"])

    assert r"raised for  \\nas01\media; each share is counted by itself" in render(
        manifest([raised])
    )


def test_what_is_asked_of_a_service_that_waits_for_cifs_says_so() -> None:
    summary = render(manual() | {"tracer": {"rung": None}})

    assert "No operations were watched: cifs was not loaded." in summary


def test_of_what_is_asked_for_only_requests_that_are_old_hang() -> None:
    young, old = event(latency_ns=4_999 * MS), event(latency_ns=5_000 * MS)

    assert "nothing hung at that moment" in advice(anomaly("manual", [young]))
    assert "The server hangs or the network is gone" in advice(anomaly("manual", [young, old]))
