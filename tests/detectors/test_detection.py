"""Detectors are handed batches, and are replaced only where their sections differ."""

from typing import Any

from aod.config.tree import Guardian
from aod.detectors.anomaly import Anomaly
from aod.detectors.detection import EVENT_BATCHES, Detection, Sections
from aod.events import Kind
from aod.runtime.supervisor import Progress
from aod.smb.names import Names
from tests.events import MS, SECOND, make

LATENCY = {"type": "Latency", "acceptable_count": 0, "actions": ["dmesg"]}
INFLIGHT = {"type": "Inflight", "threshold_ms": 1000, "actions": ["dmesg"]}


def sections(**anomalies: dict[str, Any]) -> Sections:
    return Guardian.model_validate({"anomalies": anomalies}).anomalies


def detection(found: list[Anomaly], **anomalies: dict[str, Any]) -> Detection:
    return Detection(sections(**anomalies), SECOND, Names(), found.append)


async def judge(stage: Detection) -> None:
    """Have each detector judge what it was handed."""
    stage.close()
    for component in stage.components:
        await component.work(Progress(1.0))


async def test_an_anomaly_has_its_name_and_its_wall_time() -> None:
    found: list[Anomaly] = []
    stage = detection(found, slow=LATENCY)

    stage.feed(make(1, latency_ns=300 * MS))
    await judge(stage)

    assert [(each.name, each.anomaly) for each in found] == [("slow", "latency")]
    assert found[0].timestamp > found[0].raised_ns


async def test_what_is_open_goes_to_the_detectors_that_judge_it() -> None:
    found: list[Anomaly] = []
    stage = detection(found, slow=LATENCY, hangs=INFLIGHT)

    stage.tick(make(1, kind=Kind.UNANSWERED, latency_ns=2 * SECOND))
    await judge(stage)

    assert [each.name for each in found] == ["hangs"]


async def test_a_detector_whose_section_says_the_same_to_it_is_kept() -> None:
    stage = detection([], slow=LATENCY, hangs=INFLIGHT)
    (before, _) = stage.components

    other = sections(
        slow={**LATENCY, "cooldown_sec": 1, "actions": []},
        hangs={**INFLIGHT, "threshold_ms": 2000},
    )
    added = stage.swap(stage.prepare(other, SECOND))

    assert [each.name for each in added] == ["detector hangs"]
    assert stage.components[0] is before
    assert len(stage.swap(stage.prepare(other, 2 * SECOND))) == 2


async def test_what_was_dropped_is_counted_over_a_reload() -> None:
    stage = detection([], slow=LATENCY)
    for _ in range(EVENT_BATCHES + 3):
        stage.feed(make(1))

    assert stage.dropped == 3
    stage.swap(stage.prepare(sections(hangs=INFLIGHT), SECOND))
    assert stage.dropped == 3


def test_an_anomaly_has_the_limits_of_its_own_detector() -> None:
    stage = detection([], slow={**LATENCY, "default_threshold_ms": 250}, hangs=INFLIGHT)

    found = stage.thresholds_ns("slow", make(1, 2, command=8))

    assert found is not None
    assert found.tolist() == [250 * MS] * 2


def test_what_no_detector_raises_has_no_limit() -> None:
    assert detection([], slow=LATENCY).thresholds_ns("manual", make(1)) is None
