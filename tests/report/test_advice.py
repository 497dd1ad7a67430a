"""Tests of aod.report.advice, with its statuses, its connections and its evidence."""

from dataclasses import replace
from typing import Any

import pytest

from aod.bundle.manifest import Anomaly
from aod.report.advice import advise
from aod.report.statuses import MEANINGS
from aod.smb import status_codes
from tests.report.manifests import (
    MS,
    anomaly,
    denied,
    event,
    interrupted,
    manifest,
    manual,
)


def advice(*anomalies: Anomaly) -> str:
    return "\n".join(advise(manifest(anomalies)))


def test_a_bundle_by_hand_names_only_what_was_collected() -> None:
    by_hand = manual()

    (only,) = advise(replace(by_hand, actions={"dmesg": by_hand.actions["dmesg"]}))
    assert only == "No operation is attached. Begin with dmesg.txt."
    (nothing,) = advise(replace(by_hand, actions={}))
    assert nothing == "No operation is attached."


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
    assert FLAGS[flag] in advice(anomaly("latency", [event(flags=(flag,))]))
    assert FLAGS[flag] not in advice(anomaly("latency", [event()]))


def test_a_pended_create_points_to_the_lease_of_another_client() -> None:
    pended = event(command="SMB2_CREATE", flags=("pended",))

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


def test_the_operations_of_an_unknown_kind_count_as_failed() -> None:
    told = advice(anomaly("no such kind", [denied()]))

    assert "STATUS_ACCESS_DENIED (1): permissions at the server" in told
    assert "No single cause stands out" in advice(anomaly("no such kind", [event()]))


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
        ({"flags": ("pended",)}, "The server has 1 of 1 and is working on them"),
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
        ("inflight", [{"kind": "waiting", "command": ""}], "1 of 1 wait to send"),
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


def test_of_what_is_asked_for_only_requests_that_are_old_hang() -> None:
    young, old = event(latency_ns=4_999 * MS), event(latency_ns=5_000 * MS)

    assert "nothing hung at that moment" in advice(anomaly("manual", [young]))
    assert "The server hangs or the network is gone" in advice(anomaly("manual", [young, old]))
