"""What stands in a manifest besides the events: limits, the usual, the tracer, what was lost."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from aod.bundle import manifest
from aod.detectors.anomaly import Anomaly
from aod.events import Events
from aod.incidents.evidence import DescribedAnomalies
from aod.incidents.unwatched import Lost
from aod.tracer.ledger import Ledger
from aod.tracer.state import TracerState
from tests.conftest import make_anomaly, make_config
from tests.events import MS
from tests.evidence import LookUps, make_evidence


class Watching:
    """A tracer that finds each time that more is usual."""

    libbpf = "v1.5"

    def __init__(self) -> None:
        self.usual_ns = 0

    def describe(self) -> TracerState:
        return TracerState(2, {"a": "gone"}, ("no types",), Ledger(requests=5))

    def usual_latency_ns(self, events: Events) -> int:
        self.usual_ns += 1
        return self.usual_ns


class Limits:
    """A detection that judges latency alone."""

    def thresholds_ns(self, anomaly: str, events: Events) -> NDArray[np.uint64] | None:
        return np.full(events.size, 200 * MS, np.uint64) if anomaly == "latency" else None


@pytest.mark.parametrize(("name", "expected"), [("latency", 200 * MS), ("error", None)])
def test_an_operation_has_the_limit_of_its_anomaly(name: str, expected: int | None) -> None:
    evidence = make_evidence(detection=Limits())

    described = evidence.describe(make_anomaly(name), 0, {}, usual_latency_ns=0)

    assert [each.threshold_ns for each in described.events] == [expected]


def test_the_manifest_has_what_tracer_and_stages_say_of_themselves() -> None:
    evidence = make_evidence(tracer=Watching(), losses=Lost({"events": 3}))
    described = evidence.describe(make_anomaly(), 0, {}, usual_latency_ns=0)

    made = evidence.manifest("collecting", [described])

    assert made.tracer
    assert (made.tracer.rung, made.tracer.missing) == (2, {"a": "gone"})
    assert (made.tracer.refusals, made.tracer.ledger["requests"]) == (("no types",), 5)
    assert (made.lost, made.versions.libbpf) == ({"events": 3}, "v1.5")
    assert (made.trigger, made.raised, made.sealed) == ("latency", described.raised, None)
    assert manifest.parse(manifest.dump(made), "a test") == made


def test_a_machine_that_nobody_watches_has_no_tracer() -> None:
    evidence = make_evidence()
    described = evidence.describe(make_anomaly("manual"), 0, {}, usual_latency_ns=0)

    made = evidence.manifest("sealed", [described])

    assert (made.tracer, made.versions.libbpf) == (None, "")
    assert made.sealed


def test_the_usual_is_asked_once_before_the_trouble_itself_seems_usual(tmp_path: Path) -> None:
    account = DescribedAnomalies(make_evidence(tracer=Watching()), make_config(tmp_path))
    first = make_anomaly()

    described = [account.describe(first, 0), account.describe(first.merged(first), 1)]

    assert [each.usual_latency_ns for each in described] == [1, 1]
    assert [each.count for each in described] == [1, 2]


def test_what_has_not_changed_is_not_described_again(tmp_path: Path) -> None:
    names = LookUps()
    account = DescribedAnomalies(make_evidence(names), make_config(tmp_path))

    def describe(*anomalies: Anomaly) -> list[manifest.Anomaly]:
        return [account.describe(each, 0) for each in anomalies]

    first, other = make_anomaly(), make_anomaly("error")
    before, after = describe(first), describe(first, other)

    assert names.count == 2
    assert after[0] is before[0]
    assert account.describe(first, 1).repeats == 1


def test_what_could_not_be_named_is_looked_up_again(tmp_path: Path) -> None:
    names = LookUps()
    account = DescribedAnomalies(make_evidence(names), make_config(tmp_path))
    anomaly = make_anomaly()
    names.is_unknown = True

    account.describe(anomaly, 0)
    names.is_unknown = False
    account.describe(anomaly, 0)
    names.is_unknown = True
    account.describe(anomaly, 0)

    assert names.count == 2


def test_a_limit_of_the_config_is_that_of_the_section(tmp_path: Path) -> None:
    account = DescribedAnomalies(make_evidence(), make_config(tmp_path))

    latency, manual = account.describe(make_anomaly(), 0), account.describe(_by_hand(), 0)

    assert (latency.tool, latency.limit["acceptable_count"]) == ("smbslower", 0)
    assert (manual.tool, manual.limit) == ("", {})


def _by_hand() -> Anomaly:
    return make_anomaly("manual")
