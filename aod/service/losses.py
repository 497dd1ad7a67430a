"""What is lost between the kernel and a bundle, and whether every request is accounted for."""

import logging
from collections.abc import Mapping
from typing import Protocol

from aod.tracer.ledger import Ledger, Watch

log = logging.getLogger(__name__)


class LedgerSource(Protocol):
    """The tracer, as far as its ledger goes."""

    def ledger(self) -> Ledger:
        """Return the ledger since the start; blocks."""


class Dropping(Protocol):
    """A stage that drops what is too much for it, and counts that."""

    @property
    def dropped(self) -> int:
        """How much was dropped."""


class Losses:
    """Adds up what each stage has lost since the start."""

    def __init__(self, tracer: LedgerSource, detection: Dropping, anomalies: Dropping) -> None:
        self._tracer = tracer
        self._detection = detection
        self._anomalies = anomalies
        self._watch = Watch()
        self.known: Mapping[str, int] = {}
        """What was lost according to the last ledger, by kind."""

    def lost(self) -> dict[str, int]:
        """Return what is lost by now; blocks."""
        return self.beside(self._tracer.ledger())

    def beside(self, ledger: Ledger) -> dict[str, int]:
        """Return what is lost when the ledger is this one."""
        return {
            "events": ledger.lost,
            "batches": self._detection.dropped,
            "anomalies": self._anomalies.dropped,
        }

    def note(self, ledger: Ledger) -> None:
        """Take note of the ledger of an interval, and log what is new in it."""
        if self._watch.check(ledger):
            log.warning("the ledger does not balance, requests went unseen: %s", ledger)
        lost, before = self.beside(ledger), self.known
        self.known = lost
        if sum(lost.values()) > sum(before.values()):
            log.warning("lost so far: %s", " ".join(f"{k}={v}" for k, v in lost.items()))
