import pytest

from aod.detectors.anomaly import Anomaly, AnomalyType
from aod.incidents.cooldown import HOUR_NS, Cooldown, Cooldowns, SavedCooldowns
from tests.events import SECOND, make


def anomaly(name: str = "latency", *, emergency: bool = False, at_ns: int = 1) -> Anomaly:
    return Anomaly(
        AnomalyType.LATENCY,
        name,
        at_ns,
        at_ns,
        emergency=emergency,
        count=1,
        events=make(at_ns, latency_ns=at_ns),
    )


@pytest.fixture
def cooldowns() -> Cooldowns:
    return Cooldowns(max_cooldown_ns=200 * SECOND, max_per_hour=20)


def test_the_first_one_opens(cooldowns: Cooldowns) -> None:
    assert cooldowns.admit(anomaly(), 0) is None


def test_a_repeat_in_the_cooldown_is_counted(cooldowns: Cooldowns) -> None:
    cooldowns.sealed("latency", 60 * SECOND, 0)

    reason = cooldowns.admit(anomaly(at_ns=5), 59 * SECOND)
    cooldowns.admit(anomaly(at_ns=7), 59 * SECOND)

    assert reason == "in its cooldown for 1 s more"
    (suppressed,) = cooldowns.take_suppressed()
    assert (suppressed.count, suppressed.first_ns, suppressed.last_ns) == (2, 5, 7)
    assert suppressed.worst_latency_ns == 7
    assert cooldowns.take_suppressed() == []


def test_after_the_cooldown_it_opens_again(cooldowns: Cooldowns) -> None:
    cooldowns.sealed("latency", 60 * SECOND, 0)

    assert cooldowns.admit(anomaly(), 60 * SECOND) is None


@pytest.mark.parametrize(("name", "emergency"), [("error", False), ("latency", True)])
def test_another_name_or_an_emergency_is_not_held_back(
    cooldowns: Cooldowns, name: str, emergency: bool
) -> None:
    cooldowns.sealed("latency", 60 * SECOND, 0)

    assert cooldowns.admit(anomaly(name, emergency=emergency), 1) is None


def test_the_cooldown_doubles_while_the_trouble_lasts_up_to_its_maximum(
    cooldowns: Cooldowns,
) -> None:
    now_ns, lengths = 0, []
    for _ in range(4):
        length_ns = cooldowns.sealed("latency", 60 * SECOND, now_ns)
        lengths.append(length_ns // SECOND)
        cooldowns.admit(anomaly(), now_ns + 1)
        now_ns += length_ns

    assert lengths == [60, 120, 200, 200]


def test_a_quiet_cooldown_takes_it_back_to_the_start(cooldowns: Cooldowns) -> None:
    cooldowns.sealed("latency", 60 * SECOND, 0)
    cooldowns.admit(anomaly(), 1)
    cooldowns.sealed("latency", 60 * SECOND, 60 * SECOND)

    assert cooldowns.sealed("latency", 60 * SECOND, 300 * SECOND) == 60 * SECOND


def test_the_last_two_of_an_hour_are_for_emergencies(cooldowns: Cooldowns) -> None:
    opened = [cooldowns.admit(anomaly(str(n)), n) for n in range(19)]

    assert opened == [None] * 18 + ["18 bundles were opened within the hour"]
    assert [cooldowns.admit(anomaly(str(n), emergency=True), 20) for n in range(2)] == [None] * 2
    assert cooldowns.admit(anomaly("x", emergency=True), 21) is not None
    assert cooldowns.admit(anomaly("x"), HOUR_NS + 21) is None


def test_a_request_that_hangs_gets_one_of_the_last_two(cooldowns: Cooldowns) -> None:
    for n in range(18):
        cooldowns.admit(anomaly(str(n)), n)

    assert cooldowns.admit(Anomaly(AnomalyType.INFLIGHT, "inflight", 19, count=1), 19) is None


def test_a_limit_of_one_still_lets_one_through() -> None:
    cooldowns = Cooldowns(max_cooldown_ns=SECOND, max_per_hour=1)

    assert cooldowns.admit(anomaly("a"), 0) is None
    assert cooldowns.admit(anomaly("b"), 0) is not None


def test_what_somebody_asked_for_is_always_opened(cooldowns: Cooldowns) -> None:
    cooldowns.sealed("manual", 60 * SECOND, 0)

    assert cooldowns.admit(Anomaly(AnomalyType.MANUAL, "manual", 1), 1) is None


def test_a_snapshot_brings_all_of_it_back(cooldowns: Cooldowns) -> None:
    cooldowns.admit(anomaly(), 0)
    cooldowns.sealed("latency", 60 * SECOND, 0)
    cooldowns.admit(anomaly(at_ns=5), 30 * SECOND)

    later = Cooldowns(max_cooldown_ns=200 * SECOND, max_per_hour=20)
    later.restore(cooldowns.saved(), 31 * SECOND)

    assert later.saved() == cooldowns.saved()
    assert later.admit(anomaly(at_ns=7), 59 * SECOND) == "in its cooldown for 1 s more"
    assert [held.count for held in later.held_back] == [2]
    assert later.sealed("latency", 60 * SECOND, 70 * SECOND) == 120 * SECOND


def test_a_snapshot_does_not_change_with_what_comes_later(cooldowns: Cooldowns) -> None:
    cooldowns.sealed("latency", 60 * SECOND, 0)
    cooldowns.admit(anomaly(), SECOND)
    saved = cooldowns.saved()

    cooldowns.admit(anomaly(), 2 * SECOND)

    assert saved.suppressed[0].count == 1
    assert saved != cooldowns.saved()


def test_a_restored_bundle_of_the_future_counts_for_no_longer_than_an_hour(
    cooldowns: Cooldowns,
) -> None:
    cooldowns.restore(SavedCooldowns(opened_ns=(900 * HOUR_NS,) * 100), now_ns=0)

    assert cooldowns.admit(anomaly(at_ns=SECOND), SECOND) is not None
    assert cooldowns.admit(anomaly(at_ns=HOUR_NS), HOUR_NS) is None


def test_a_restored_cooldown_has_no_more_left_than_its_length(cooldowns: Cooldowns) -> None:
    cooldowns.restore(SavedCooldowns({"latency": Cooldown(HOUR_NS, 60 * SECOND)}), now_ns=0)

    assert cooldowns.admit(anomaly(), 60 * SECOND) is None


def test_a_bundle_that_came_to_nothing_takes_no_place_of_the_hour() -> None:
    cooldowns = Cooldowns(HOUR_NS, 1)

    assert cooldowns.admit(anomaly(), 0) is None
    cooldowns.give_back([], [anomaly()])

    assert cooldowns.admit(anomaly(), 1) is None
    assert cooldowns.admit(anomaly(), 2) == "1 bundles were opened within the hour"


def test_the_cooldown_of_what_was_refused_does_not_double() -> None:
    cooldowns = Cooldowns(HOUR_NS, 100)
    for now_ns in range(0, 1000, 100):
        assert cooldowns.admit(anomaly(), now_ns) is None
        cooldowns.refused("latency", 60, now_ns)
        assert cooldowns.admit(anomaly(), now_ns + 59)
