"""What is told of an incident, from anomalies and from the manifest's words."""

import json
from dataclasses import replace

from aod.bundle import manifest
from aod.bundle.describe import describe_anomaly, describe_events
from aod.detectors.anomaly import Anomaly, AnomalyType
from aod.events import Kind
from aod.incidents import notices as notice
from aod.smb import Command
from tests.conftest import make_anomaly
from tests.events import MS, SECOND, make
from tests.evidence import no_names


def anomaly(latency_ms: int, name: str = "latency") -> Anomaly:
    events = make(SECOND, latency_ns=latency_ms * MS, command=Command.SMB2_WRITE)
    events["comm"] = b"cp"
    return replace(make_anomaly(name), events=events, count=3)


def described(*anomalies: Anomaly) -> list[manifest.Anomaly]:
    return [in_words(each) for each in anomalies]


def in_words(anomaly: Anomaly) -> manifest.Anomaly:
    operations = describe_events(anomaly.events, None, no_names(), 0)
    named = [replace(each, server="nas", share="a") for each in operations]
    return describe_anomaly(anomaly, 0, named, {}, usual_latency_ns=0)


def test_an_incident_that_begins_is_told_with_its_worst_operation() -> None:
    fields = notice.opened(anomaly(300), ["//nas/a"])

    assert fields == {
        "AOD_ANOMALY": "latency",
        "AOD_TYPE": "latency",
        "AOD_COUNT": 3,
        "AOD_EMERGENCY": 0,
        "AOD_REASON": "",
        "AOD_SHARE": ["//nas/a"],
        "AOD_COMMAND": "SMB2_WRITE",
        "AOD_STATUS": "STATUS_SUCCESS",
        "AOD_LATENCY_NS": 300 * MS,
        "AOD_COMM": "cp",
    }


def test_an_incident_without_an_operation_is_told_all_the_same() -> None:
    by_hand = Anomaly(AnomalyType.MANUAL, "manual", SECOND, SECOND, reason="to see")

    fields = notice.opened(by_hand, [])

    assert (fields["AOD_TYPE"], fields["AOD_REASON"]) == ("manual", "to see")
    assert "AOD_COMMAND" not in fields
    assert notice.ended("sealed", "/b", "", described(by_hand), "").fields()["AOD_COMMAND"] == ""


def test_a_thread_that_waits_to_send_has_no_command() -> None:
    waits = make(SECOND, kind=Kind.WAITING, latency_ns=SECOND, queue_ns=SECOND)

    fields = notice.opened(replace(make_anomaly(), events=waits), [])

    assert (fields["AOD_COMMAND"], fields["AOD_LATENCY_NS"]) == ("", SECOND)


def test_a_bundle_is_told_with_the_counts_and_the_worst_of_all_its_anomalies() -> None:
    told = notice.ended("sealed", "/b", "", described(anomaly(300), anomaly(900, "error")), "")

    fields = told.fields()

    assert fields["AOD_ANOMALY"] == ["latency", "error"]
    assert fields["AOD_COUNT"] == 6
    assert fields["AOD_LATENCY_NS"] == str(900 * MS)
    assert fields["AOD_SHARE"] == ["//nas/a"]
    assert fields["AOD_BUNDLE"] == "/b"
    assert fields["AOD_OUTCOME"] == "sealed"


def test_a_notice_goes_through_json_and_is_small() -> None:
    told = notice.ended("not opened", "", "No space left on device", described(anomaly(300)), "")

    plain = json.loads(json.dumps(told.as_dict()))

    assert plain["format"] == notice.FORMAT
    assert plain["reason"] == "No space left on device"
    assert plain["sentence"].startswith("3 operations on //nas/a were slow")
    assert plain["anomalies"][0]["worst"]["latency_ns"] == 300 * MS
    assert "events" not in plain["anomalies"][0]


def test_an_incident_of_many_shares_names_the_most_frequent() -> None:
    (one,) = described(anomaly(300))
    events = tuple(replace(one.events[0], share=str(n % 40)) for n in range(50))

    told = notice.ended("sealed", "/b", "", [replace(one, events=events)], "")

    (shares,) = [each.shares for each in told.anomalies]
    assert len(shares) == 32
    assert set(shares[:10]) == {f"//nas/{n}" for n in range(10)}
