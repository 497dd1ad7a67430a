"""Tests of aod.report.sentences."""

from dataclasses import replace

import pytest

from aod.bundle.manifest import Anomaly, Host
from aod.report.sentences import about, sentence
from tests.report.manifests import anomaly, event, latency

SHARE = "//nas01/media"


@pytest.mark.parametrize(
    ("kind", "count", "told"),
    [
        ("latency", 1, "1 operation on {} was slow, SMB2_READ, by ffmpeg (pid 4711), since "),
        ("latency", 2, "2 operations on {} were slow, SMB2_READ, by ffmpeg (pid 4711), since "),
        ("error", 2, "2 operations on {} failed, STATUS_SUCCESS, by ffmpeg (pid 4711), since "),
        ("reconnect", 1, "1 connection on {} was lost, STATUS_SUCCESS, since "),
        ("credits", 2, "2 credit waits on {} were counted, STATUS_SUCCESS, by ffmpeg (pid 4711)"),
        ("inflight", 1, "1 request on {} has not been answered for 312 ms, SMB2_READ, by ffmpeg"),
        ("no such kind", 2, "2 operations on {} were counted, STATUS_SUCCESS, by ffmpeg (pid 47"),
    ],
)
def test_each_kind_is_told_in_its_words(kind: str, count: int, told: str) -> None:
    found = anomaly(kind, [event(index) for index in range(count)])

    assert sentence(found).startswith(told.format(SHARE))


@pytest.mark.parametrize(
    ("kind", "is_told"),
    [("latency", True), ("credits", True), ("no such kind", True), ("error", False)],
)
def test_how_long_the_worst_took_is_told_where_the_worst_are_shown(
    kind: str, is_told: bool
) -> None:
    assert sentence(anomaly(kind, [event()])).endswith("; the worst took 312 ms.") is is_told


def test_an_emergency_says_so() -> None:
    assert sentence(anomaly("latency", [event()], emergency=True)).startswith("Emergency: 1 op")


def test_an_anomaly_of_which_only_the_name_is_left_is_told() -> None:
    assert sentence(Anomaly("latency", "slow")) == (
        "0 operations on an unknown share were slow, unknown, by unknown, "
        "since an unknown time UTC."
    )


def test_what_is_not_known_of_the_machine_is_a_question_mark() -> None:
    manifest = replace(latency(), host=Host(name="plex1\x1b"))

    assert about(manifest) == (
        r"Host plex1\x1b: Linux ?, ?, ?, 0 CPUs; aod 0.1.0. All times are UTC."
    )
