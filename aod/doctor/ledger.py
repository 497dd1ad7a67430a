"""The ledger over some seconds: whether every request and response is accounted for."""

import asyncio
from dataclasses import asdict, dataclass
from typing import Any

from aod.tracer.ledger import Ledger, ledger_of
from aod.tracer.program import Tracer

PAUSE_S = 0.5
PATIENCE_S = 10.0
"""The time after the end in which the share may get quiet: an echo takes less."""


@dataclass(frozen=True, slots=True)
class LedgerReport:
    """A ledger, and whether nothing moved while it was read: only then it is exact."""

    rung: int
    ledger: Ledger
    is_quiet: bool

    def lines(self) -> list[str]:
        """Return both equations with their numbers."""
        own = self.ledger
        lines = [
            f"{own.requests} requests = {own.completed} completed + {own.aborted} aborted + "
            f"{own.unanswered} unanswered + {own.untracked} untracked + {own.open} open"
            f"{_off(own.request_imbalance)}",
            f"{own.pdus} PDUs = {own.completed} completed + {own.interim} interim + "
            f"{own.breaks} breaks + {own.unmatched} unmatched + {own.earlier} of requests sent "
            f"before{_off(own.pdu_imbalance)}",
            f"{own.events} events, of which {own.lost} were lost; {own.uncounted} requests not "
            f"in the latencies; {own.skipped} times a probe was not run",
        ]
        if not own.requests:
            lines.append("Nothing was sent: use the share meanwhile.")
        if not self.is_quiet:
            lines.append("The share was not quiet at the end: what was under way may be missing.")
        closed = "closed" if own.is_closed else "not closed"
        return [*lines, f"The ledger is {closed} (rung {self.rung})."]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        sums = {name: getattr(self.ledger, name) for name in ("request_imbalance", "pdu_imbalance")}
        judged = {"closed": self.ledger.is_closed, "quiet": self.is_quiet, "rung": self.rung}
        return {**asdict(self.ledger), **sums, **judged}


async def watch(tracer: Tracer, seconds: float, stop: asyncio.Event) -> LedgerReport:
    """Let it count for so long, or until `stop` is set; then wait for quiet, and read."""
    await _wait(stop, seconds)
    ledger, is_quiet = await _settled(tracer)
    return LedgerReport(tracer.rung.number, ledger, is_quiet)


async def _settled(tracer: Tracer) -> tuple[Ledger, bool]:
    before = await asyncio.to_thread(_read, tracer)
    for _ in range(round(PATIENCE_S / PAUSE_S)):
        await asyncio.sleep(PAUSE_S)
        ledger = await asyncio.to_thread(_read, tracer)
        if ledger == before:
            return ledger, True
        before = ledger
    return before, False


def _read(tracer: Tracer) -> Ledger:
    # Nobody forgets requests here, so that none is counted as unanswered.
    still_open = tracer.open_requests()[0].size
    return ledger_of(tracer.counts(), 0, still_open, tracer.skipped())


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


def _off(imbalance: int) -> str:
    return f" + {imbalance} not accounted for" if imbalance else ""
