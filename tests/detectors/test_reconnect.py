from typing import Any

import pytest

from aod.detectors.anomaly import AnomalyType
from aod.detectors.reconnect import Reconnect, ReconnectAnomaly
from aod.events import Cause, Events, Kind
from tests.events import SECOND, make


def lost(*times_ns: int, **fields: Any) -> Events:
    plain = {"kind": Kind.RECONNECT, "cause": Cause.RECONNECT, "connection_id": 1}
    return make(*times_ns, **{**plain, **fields})


def detector(acceptable_count: int = 0) -> Reconnect:
    section = ReconnectAnomaly(type="Reconnect", acceptable_count=acceptable_count, actions=())
    return Reconnect.from_config("lost", section, SECOND)


def test_a_lost_connection_is_an_anomaly() -> None:
    anomaly = detector().feed(lost(5, cause=Cause.PARTIAL_SEND))

    assert anomaly is not None
    assert (anomaly.anomaly, anomaly.name) == (AnomalyType.RECONNECT, "lost")
    assert (anomaly.count, anomaly.raised_ns, anomaly.emergency) == (1, 5, False)


def test_as_many_as_are_acceptable_within_the_interval_raise_nothing() -> None:
    counting = detector(2)

    assert counting.feed(lost(0, 1)) is None
    assert counting.feed(lost(SECOND)) is None
    assert counting.feed(lost(SECOND + 1, SECOND + 2)) is not None


def test_each_channel_counts_by_itself() -> None:
    anomaly = detector(2).feed(lost(1, 2, 3, connection_id=[1, 2, 3]))

    assert anomaly is not None
    assert anomaly.count == 3


@pytest.mark.parametrize("together", [True, False])
def test_a_partial_send_and_its_reconnect_are_one_loss(together: bool) -> None:
    counting = detector()
    broken = lost(1, 2, cause=[Cause.PARTIAL_SEND, Cause.RECONNECT])

    batches = [broken] if together else [broken[:1], broken[1:]]
    found = [anomaly for batch in batches if (anomaly := counting.feed(batch))]

    assert [anomaly.events["cause"].tolist() for anomaly in found] == [[Cause.PARTIAL_SEND]]


def test_the_next_loss_after_a_partial_send_counts_again() -> None:
    counting = detector()
    counting.feed(lost(1, 2, cause=[Cause.PARTIAL_SEND, Cause.RECONNECT]))

    assert counting.feed(lost(3)) is not None


def test_another_connection_than_that_of_the_partial_send_counts() -> None:
    causes = [Cause.PARTIAL_SEND, Cause.RECONNECT]

    anomaly = detector().feed(lost(1, 2, cause=causes, connection_id=[1, 2]))

    assert anomaly is not None
    assert anomaly.count == 2


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.RECONNECT])
def test_nothing_else_counts(kind: Kind) -> None:
    assert detector().feed(make(1, 2, kind=kind, error=-5, latency_ns=10 * SECOND)) is None


def test_the_kernel_is_asked_for_reconnects() -> None:
    assert detector().filter.kinds == {Kind.RECONNECT}
