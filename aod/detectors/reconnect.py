"""Connections that are lost and made anew."""

from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from aod.detectors.anomaly import Anomaly, AnomalyType, keep_evidence
from aod.detectors.section import AnomalySection, acceptable
from aod.detectors.window import Window
from aod.detectors.words import Words
from aod.events import Cause, Events, Kind
from aod.smb.filter import Filter


class ReconnectAnomaly(AnomalySection):
    """Connections that are lost and made anew."""

    type: Literal["Reconnect"] = Field(description="kind of anomaly")
    tool: Literal["smbiosnoop"] = Field(default="smbiosnoop", description="view of the tracer")
    # A connection in order is lost once in months: each loss is worth a bundle.
    acceptable_count: int = acceptable(0)


class Reconnect:
    """Raises when more than `acceptable_count` connections are lost within an interval.

    Each channel is a connection of its own. A request that is sent only in part makes cifs
    reconnect: that loss counts once, as what it came from.
    """

    Section: ClassVar[type[AnomalySection]] = ReconnectAnomaly
    words: ClassVar[Words] = Words(
        noun="connection", verb="lost", sort="lost", order="first", has_process=False
    )

    def __init__(self, name: str, acceptable_count: int, interval_ns: int) -> None:
        self.name = name
        self.filter = Filter(kinds=frozenset({Kind.RECONNECT}))
        self._interval_ns = interval_ns
        self._window = Window(acceptable_count, interval_ns)
        self._broken: set[int] = set()
        """Connections of a partial send whose reconnect is to come."""

    @classmethod
    def from_config(cls, name: str, section: ReconnectAnomaly, interval_ns: int) -> Self:
        """Make the detector that a section of the config asks for."""
        return cls(name, section.acceptable_count, interval_ns)

    @classmethod
    def sample(cls, section: ReconnectAnomaly, operation: Events) -> Events:
        """Return connections that are lost."""
        operation["kind"], operation["cause"] = Kind.RECONNECT, Cause.RECONNECT
        return np.repeat(operation, section.acceptable_count + 1)

    def feed(self, events: Events) -> Anomaly | None:
        """Judge a batch; an anomaly holds each lost connection once."""
        reconnects = events[events["kind"] == Kind.RECONNECT]
        evidence = self._window.feed(reconnects[self._is_news(reconnects)])
        if not evidence.events.size:
            return None
        return Anomaly(
            AnomalyType.RECONNECT,
            self.name,
            evidence.raised_ns,
            count=evidence.events.size,
            window_ns=self._interval_ns,
            events=keep_evidence(evidence.events),
        )

    def _is_news(self, reconnects: Events) -> NDArray[np.bool]:
        news = np.zeros(reconnects.size, np.bool)
        causes, connections = reconnects["cause"].tolist(), reconnects["connection_id"].tolist()
        for index, (cause, connection) in enumerate(zip(causes, connections, strict=True)):
            news[index] = connection not in self._broken
            if cause == Cause.PARTIAL_SEND:
                self._broken.add(connection)
            else:
                self._broken.discard(connection)
        return news
