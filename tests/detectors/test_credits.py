import errno
from typing import Any

import pytest

from aod.detectors.anomaly import AnomalyType
from aod.detectors.credits import Credits, CreditsAnomaly
from aod.events import Cause, Events, Flag, Kind
from tests.events import MS, SECOND, make

ERESTARTSYS = 512


def waits(*times_ns: int, **fields: Any) -> Events:
    plain = {"kind": Kind.CREDIT_WAIT, "cause": Cause.CREDITS_AWAITED, "latency_ns": 5 * MS}
    return make(*times_ns, **{**plain, **fields})


def detector(acceptable_count: int = 2) -> Credits:
    section = CreditsAnomaly(type="Credits", acceptable_count=acceptable_count, actions=())
    return Credits.from_config("credits", section, SECOND)


def test_more_waits_than_acceptable_raise() -> None:
    anomaly = detector().feed(waits(1, 2, 3))

    assert anomaly is not None
    assert (anomaly.anomaly, anomaly.count) == (AnomalyType.CREDITS, 3)
    assert (anomaly.raised_ns, anomaly.window_ns, anomaly.emergency) == (3, SECOND, False)


def test_waits_at_the_limit_raise_nothing() -> None:
    counting = detector()

    assert counting.feed(waits(0, 1)) is None
    assert counting.feed(waits(SECOND)) is None


@pytest.mark.parametrize(
    ("fields", "raises"),
    [
        ({"cause": Cause.CREDITS_TIMEOUT}, True),
        ({"cause": Cause.CREDITS_INSUFFICIENT}, True),
        ({"error": -errno.EHOSTDOWN}, True),
        ({"error": -ERESTARTSYS}, False),
        ({"error": 0}, False),
        ({"cause": Cause.CREDITS_OVERFLOW}, False),
    ],
)
def test_one_wait_raises_alone_when_it_was_in_vain(fields: dict[str, Any], raises: bool) -> None:
    assert (detector().feed(waits(1, **fields)) is not None) is raises


@pytest.mark.parametrize(
    ("cause", "counts"),
    [
        (Cause.CREDITS_AWAITED, True),
        (Cause.CREDITS_OVERFLOW, True),
        (Cause.CREDITS_OUTDATED, False),
        (Cause.CREDITS_INVALID, False),
    ],
)
def test_what_a_reconnect_does_to_credits_does_not_count(cause: Cause, counts: bool) -> None:
    assert (detector(0).feed(waits(1, cause=cause)) is not None) is counts


def test_waits_of_our_own_do_not_count() -> None:
    assert detector(0).feed(waits(1, flags=Flag.SELF, error=-errno.EIO)) is None


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.CREDIT_WAIT])
def test_nothing_else_counts(kind: Kind) -> None:
    assert detector(0).feed(waits(1, kind=kind, error=-errno.EIO)) is None


def test_the_kernel_is_asked_for_waits() -> None:
    assert detector().filter.kinds == {Kind.CREDIT_WAIT}
