"""The ledger over some seconds, with a tracer that is made up (a real one: tests/vm)."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from aod.doctor import ledger
from aod.doctor.ledger import LedgerReport
from aod.events import REQUEST, REQUEST_KEY, Count
from aod.smb.probes import LADDER
from aod.tracer.ledger import Ledger
from aod.tracer.program import Tracer

CLOSED = Ledger(requests=5, completed=3, aborted=1, open=1, pdus=4, interim=1)


class FakeTracer(SimpleNamespace):
    """Counts one more request at each look, until so many were answered."""

    rung = LADDER[0]
    until: int
    seen = 0

    def counts(self) -> dict[Count, int]:
        self.seen = min(self.seen + 1, self.until)
        counted = (Count.REQUESTS, Count.COMPLETED, Count.PDUS)
        return dict.fromkeys(Count, 0) | dict.fromkeys(counted, self.seen)

    def open_requests(self) -> tuple[Any, Any]:
        return np.empty(0, REQUEST_KEY), np.empty(0, REQUEST)

    def skipped(self) -> int:
        return 0


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> FakeTracer:
    """A share with some requests to come."""
    tracer = FakeTracer(until=3)
    monkeypatch.setattr(ledger, "PAUSE_S", 0.01)
    monkeypatch.setattr(ledger, "PATIENCE_S", 0.1)
    return tracer


async def test_it_waits_until_nothing_moves(busy: FakeTracer) -> None:
    found = await ledger.watch(cast(Tracer, busy), 0, asyncio.Event())

    assert found.is_quiet
    assert found.ledger.requests == busy.until
    assert found.ledger.is_closed


async def test_a_share_that_does_not_get_quiet_is_told(busy: FakeTracer) -> None:
    busy.until = 1000

    found = await ledger.watch(cast(Tracer, busy), 0, asyncio.Event())

    assert not found.is_quiet
    assert any("was not quiet" in line for line in found.lines())


async def test_it_ends_early_when_told(busy: FakeTracer) -> None:
    stop = asyncio.Event()
    stop.set()

    async with asyncio.timeout(10):
        found = await ledger.watch(cast(Tracer, busy), 3600, stop)

    assert found.is_quiet


def test_the_equations_are_told_with_their_numbers() -> None:
    requests, pdus, *_, verdict = LedgerReport(1, CLOSED, is_quiet=True).lines()

    assert requests == (
        "5 requests = 3 completed + 1 aborted + 0 unanswered + 0 untracked + 1 open"
    )
    assert pdus == (
        "4 PDUs = 3 completed + 1 interim + 0 breaks + 0 unmatched + 0 of requests sent before"
    )
    assert verdict == "The ledger is closed (rung 1)."


def test_what_is_not_accounted_for_is_told() -> None:
    requests, _, *_, verdict = LedgerReport(
        1, Ledger(requests=2, completed=1, pdus=1), True
    ).lines()

    assert requests.endswith("+ 1 not accounted for")
    assert "not closed" in verdict


def test_books_of_nothing_say_so() -> None:
    assert "Nothing was sent: use the share meanwhile." in LedgerReport(1, Ledger(), True).lines()


def test_json_has_the_numbers_and_the_verdict() -> None:
    found = LedgerReport(5, CLOSED, is_quiet=False).as_dict()

    assert (found["closed"], found["quiet"], found["rung"]) == (True, False, 5)
    assert (found["requests"], found["interim"], found["pdu_imbalance"]) == (5, 1, 0)
