"""Threads that wait for credits: the requests which the server allows at a time."""

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from aod import smb
from aod.detectors.anomaly import Anomaly, AnomalyType, keep_evidence
from aod.detectors.section import AnomalySection, acceptable
from aod.detectors.window import Window
from aod.detectors.words import Words
from aod.events import Cause, Events, Flag, Kind
from aod.smb.filter import Filter

COUNTED = (
    Cause.CREDITS_AWAITED,
    Cause.CREDITS_TIMEOUT,
    Cause.CREDITS_INSUFFICIENT,
    Cause.CREDITS_OVERFLOW,
)
"""CREDITS_OUTDATED and CREDITS_INVALID come with each reconnect, which is counted as such."""
IN_VAIN = (Cause.CREDITS_TIMEOUT, Cause.CREDITS_INSUFFICIENT)


class CreditsAnomaly(AnomalySection):
    """Threads that wait for credits."""

    type: Literal["Credits"] = Field(description="kind of anomaly")
    tool: Literal["smbslower"] = Field(default="smbslower", description="view of the tracer")
    # One thread that copies at full speed waits 10 ms for each request: 100 times a second.
    acceptable_count: int = acceptable(100)


class Credits:
    """Raises when more than `acceptable_count` credit events come within an interval.

    A wait in vain raises alone: a program got an error from it. One that a signal ended was
    not in vain.
    """

    Section: ClassVar[type[AnomalySection]] = CreditsAnomaly
    words: ClassVar[Words] = Words(noun="credit wait", sort="starved")

    def __init__(self, name: str, acceptable_count: int, interval_ns: int) -> None:
        self.name = name
        self.filter = Filter(kinds=frozenset({Kind.CREDIT_WAIT}))
        self._interval_ns = interval_ns
        self._window = Window(acceptable_count, interval_ns)

    @classmethod
    def from_config(cls, name: str, section: CreditsAnomaly, interval_ns: int) -> Self:
        """Make the detector that a section of the config asks for."""
        return cls(name, section.acceptable_count, interval_ns)

    @classmethod
    def sample(cls, section: CreditsAnomaly, operation: Events) -> Events:
        """Return waits for credits that ended well."""
        operation["kind"], operation["cause"] = Kind.CREDIT_WAIT, Cause.CREDITS_AWAITED
        return np.repeat(operation, section.acceptable_count + 1)

    def feed(self, events: Events) -> Anomaly | None:
        """Judge a batch; an anomaly holds each credit event once."""
        counted = (events["kind"] == Kind.CREDIT_WAIT) & np.isin(events["cause"], COUNTED)
        waits = events[counted & ((events["flags"] & Flag.SELF) == 0)]
        failed = (waits["error"] != 0) & ~np.isin(-waits["error"], sorted(smb.QUIET_ERRORS))
        in_vain = failed | np.isin(waits["cause"], IN_VAIN)
        evidence = self._window.feed(waits, alone=in_vain)
        if not evidence.events.size:
            return None
        return Anomaly(
            AnomalyType.CREDITS,
            self.name,
            evidence.raised_ns,
            count=evidence.events.size,
            window_ns=self._interval_ns,
            events=keep_evidence(evidence.events),
        )
