"""Tests of aod.report.summary.

The golden files are written by `python -m tests.report.manifests`; read the difference.
"""

from dataclasses import replace
from typing import Any

import pytest

from aod.bundle.archive import read_member
from aod.bundle.manifest import Disk, Manifest, Tracer, parse
from aod.report.summary import render
from tests import ROOT
from tests.report.manifests import (
    DATA,
    GOLDEN,
    MS,
    anomaly,
    denied,
    event,
    manifest,
    manual,
    slow,
)

OLD = ROOT / "tests/data/bundles/aod_1796086479720202750.tar.zst"


@pytest.mark.parametrize("name", GOLDEN)
def test_the_summary_is_the_golden_one(name: str) -> None:
    expected = (DATA / f"summary_{name}.txt").read_text(encoding="utf-8")

    assert render(GOLDEN[name]()) == expected


def test_the_summary_of_a_bundle_of_0_1_0_is_the_one_in_it_but_for_the_slashes() -> None:
    old = parse(read_member(OLD, "manifest.json"), OLD)
    told = read_member(OLD, "summary.txt").decode()

    assert told.count(r"\\127.0.0.1\share") == 3
    assert render(old) == told.replace(r"\\127.0.0.1\share", "//127.0.0.1/share")


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


def test_a_name_cannot_send_escapes_to_the_terminal() -> None:
    fields: dict[str, Any] = dict.fromkeys(
        ("comm", "file", "share", "server", "status", "command"), "\x1b[2J\r"
    )
    hostile = event(**fields)

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
    summary = render(Manifest(format=1, timestamp=1, state="collecting"))

    assert "still being collected" in summary
    assert "No action was run" in summary


def test_what_the_disk_had_no_room_for_is_told_with_its_reason() -> None:
    disk = Disk(
        free_bytes=530 << 20,
        reserved_bytes=40 << 20,
        min_free_bytes=512 << 20,
        left_out=("tcpdump", "events"),
    )

    summary = " ".join(render(manifest([anomaly("latency", slow(3))], disk=disk)).split())

    assert "short of room: 530 MiB free, of which open bundles had reserved 40.0 MiB" in summary
    assert "512 MiB stay free (min_free_mb). Left out: tcpdump, events." in summary


@pytest.mark.parametrize("state", ["collecting", "interrupted"])
def test_an_unfinished_bundle_does_not_claim_that_nothing_was_lost(state: str) -> None:
    summary = render(replace(manual(), state=state))

    assert "Nothing that was known when" in summary


def test_an_event_without_names_is_told_by_its_ids() -> None:
    nameless = event(share="", server="nas01", file="", file_id="0x0")

    summary = render(manifest([anomaly("latency", [nameless])]))

    assert "on //nas01 tree 0x5 was slow" in summary
    assert "ffmpeg  -\n" in summary


def test_the_channels_are_told_where_a_session_has_several() -> None:
    events = [event(0), event(1, channel="2"), event(2, channel="2")]

    summary = render(manifest([anomaly("latency", events)]))

    assert "channels    2 2, primary 1\n" in summary
    assert "channels" not in render(manifest([anomaly("latency", slow(3))]))


def test_what_has_neither_share_nor_command_is_told_in_words() -> None:
    unsent = event(kind="unsent", command="", server="", share="", tree_id="0x0", error="EHOSTDOWN")

    summary = render(manifest([anomaly("error", [unsent])]))

    assert "1 operation on an unknown share failed, unsent EHOSTDOWN, by ffmpeg" in summary
    assert "no request" in summary


@pytest.mark.parametrize("share", ["//nas01/media", r"\\nas01\media"])
def test_an_anomaly_of_one_share_names_it(share: str) -> None:
    summary = render(manifest([anomaly("latency", slow(2), shares=(share,))]))

    assert "raised for  //nas01/media; each share is counted by itself" in summary


def test_what_is_asked_of_a_service_that_waits_for_cifs_says_so() -> None:
    summary = render(replace(manual(), tracer=Tracer(rung=None)))

    assert "No operations were watched: cifs was not loaded." in summary


def test_what_was_lost_is_told_in_the_right_number() -> None:
    lost = {"events": 1, "batches": 2, "anomalies": 0}

    summary = render(manifest([anomaly("latency", slow(3))], lost=lost))

    assert "Dropped: 1 event, 2 batches of events. All counts above" in summary
