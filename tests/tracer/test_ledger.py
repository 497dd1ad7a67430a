"""The two equations, and when an imbalance is worth a warning."""

from dataclasses import replace

import pytest

from aod.events import Count
from aod.tracer.ledger import Ledger, Watch, ledger_of

CLOSED = Ledger(
    requests=100,
    completed=90,
    aborted=4,
    unanswered=1,
    untracked=2,
    open=3,
    pdus=105,
    interim=7,
    breaks=5,
    unmatched=1,
    earlier=2,
)


def test_a_ledger_in_which_all_is_accounted_for_is_closed() -> None:
    assert CLOSED.is_closed


@pytest.mark.parametrize("side", ["completed", "aborted", "unanswered", "untracked", "open"])
def test_every_way_in_which_a_request_ends_counts(side: str) -> None:
    missing = replace(CLOSED, **{side: getattr(CLOSED, side) - 1})

    assert missing.request_imbalance == 1
    assert not missing.is_closed


@pytest.mark.parametrize("side", ["completed", "interim", "breaks", "unmatched", "earlier"])
def test_every_kind_of_response_counts(side: str) -> None:
    missing = replace(CLOSED, **{side: getattr(CLOSED, side) - 1})

    assert missing.pdu_imbalance == 1
    assert not missing.is_closed


def test_the_kernels_counters_have_their_place() -> None:
    counts = {count: 10 + count for count in Count}

    ledger = ledger_of(counts, unanswered=1, still_open=2)

    assert (ledger.requests, ledger.lost) == (10, 10 + Count.LOST)
    assert (ledger.unanswered, ledger.open) == (1, 2)


def test_the_books_of_two_loads_are_added() -> None:
    both = CLOSED + CLOSED

    assert (both.requests, both.open, both.is_closed) == (200, 6, True)


def looks(*ledgers: Ledger) -> list[bool]:
    watch = Watch()
    return [watch.check(ledger) for ledger in ledgers]


def test_an_imbalance_is_told_the_third_time() -> None:
    short = replace(CLOSED, requests=105)

    assert looks(short, short, short, short) == [False, False, False, True]


def test_an_imbalance_below_the_traffic_of_an_interval_is_of_the_moment() -> None:
    busy = [
        replace(CLOSED, requests=105 + 10 * i, completed=90 + 10 * i, pdus=105 + 10 * i)
        for i in range(9)
    ]

    assert looks(*busy) == [False] * 9


def test_an_imbalance_that_ends_is_not_told() -> None:
    short = replace(CLOSED, requests=105)

    assert looks(CLOSED, short, short, CLOSED, short, short) == [False] * 6
