"""What the kernel is asked to send: never less than the detectors count."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aod.events import COMMANDS, ERRNOS, Flag, Kind
from aod.smb import Command
from aod.smb.filter import (
    ALL_COMMANDS,
    NEVER,
    Filter,
    StatusVerdict,
    event_thresholds_ns,
    quiet_commands,
    status_verdict,
    union,
)
from tests.events import make

CODES = (0x103, 0x80000005, 0xC0000022, 0xC0000034)
named_statuses = st.dictionaries(
    st.sampled_from(CODES), st.frozensets(st.integers(0, COMMANDS - 1)) | st.just(ALL_COMMANDS)
)
verdicts = st.builds(status_verdict, st.booleans(), named_statuses)


def judged(verdict: StatusVerdict) -> list[bool]:
    """Return the verdict on every code with every command."""
    statuses = np.repeat(np.array((0, *CODES, 0xC0000001), np.uint32), COMMANDS)
    commands = np.tile(np.arange(COMMANDS, dtype=np.uint16), len(CODES) + 2)
    return list(verdict.counts(statuses, commands))


@given(verdicts, verdicts)
def test_a_union_counts_what_either_counts(a: StatusVerdict, b: StatusVerdict) -> None:
    expected = [one or other for one, other in zip(judged(a), judged(b), strict=True)]

    assert judged(a | b) == expected


@given(st.booleans(), named_statuses)
def test_a_named_status_counts_for_just_its_commands(
    failures: bool, named: dict[int, frozenset[int]]
) -> None:
    verdict = status_verdict(failures, named)

    assert {status: verdict.commands(status) for status in named} == named


@given(verdicts)
def test_each_operation_is_judged_by_its_status_and_its_command(verdict: StatusVerdict) -> None:
    judged_one_by_one = [
        status != 0 and command in verdict.commands(status)
        for status in (0, *CODES, 0xC0000001)
        for command in range(COMMANDS)
    ]

    assert judged(verdict) == judged_one_by_one


@given(verdicts)
def test_success_never_counts(verdict: StatusVerdict) -> None:
    assert not any(judged(verdict)[:COMMANDS])


def test_a_verdict_on_nothing_is_empty() -> None:
    empty = StatusVerdict(True).counts(np.zeros(0, np.uint32), np.zeros(0, np.uint16))

    assert empty.tolist() == []


@pytest.mark.parametrize(
    ("status", "commands"),
    [(0xC0000034, {Command.SMB2_CREATE}), (0x80000005, ALL_COMMANDS), (0xC0000022, set())],
)
def test_a_status_is_quiet_on_its_own_command_only(status: int, commands: set[int]) -> None:
    assert quiet_commands(status) == commands


def test_a_union_of_filters_has_the_lowest_thresholds() -> None:
    low, high = (Filter(np.full((2, COMMANDS), ns, np.uint64)) for ns in (5, 9))

    assert (union([high, low]).thresholds_ns == 5).all()
    assert (union([]).thresholds_ns == NEVER).all()


def test_a_union_of_filters_wants_the_errors_and_kinds_of_all() -> None:
    low, high = np.arange(ERRNOS) == 5, np.arange(ERRNOS) == 112

    both = union(
        [
            Filter(errors=low, kinds=frozenset({Kind.UNSENT})),
            Filter(errors=high, kinds=frozenset({Kind.RECONNECT})),
        ]
    )

    assert np.flatnonzero(both.errors).tolist() == [5, 112]
    assert both.kinds == {Kind.UNSENT, Kind.RECONNECT}
    assert not union([]).errors.any()


def test_a_union_of_filters_sends_secondary_failures_when_one_does() -> None:
    without, wanting = Filter(), Filter(secondary=True)

    assert union([without, wanting]).secondary
    assert not union([without]).secondary


def test_a_pended_event_has_the_threshold_of_the_second_row() -> None:
    thresholds_ns = np.arange(2 * COMMANDS, dtype=np.uint64).reshape(2, COMMANDS)
    events = make(1, 2, command=8)
    events["flags"][1] = Flag.PENDED

    assert event_thresholds_ns(thresholds_ns, events).tolist() == [8, COMMANDS + 8]
