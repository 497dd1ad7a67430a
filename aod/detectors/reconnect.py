"""Connections that are lost and made anew."""

from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from aod.detectors.anomaly import Anomaly, AnomalyType, keep_evidence
from aod.detectors.window import Window
from aod.detectors.words import Words
from aod.events import Cause, Events, Kind
from aod.smb.filter import Filter

if TYPE_CHECKING:
    from aod.config.tree import ReconnectAnomaly


class Reconnect:
    """Raises when more than `acceptable_count` connections are lost within an interval.

    Each channel is a connection of its own. A request that is sent only in part makes cifs
    reconnect: that loss counts once, as what it came from.
    """

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
    def from_config(cls, name: str, config: "ReconnectAnomaly", interval_ns: int) -> Self:
        """Make the detector that a section of the config asks for."""
        return cls(name, config.acceptable_count, interval_ns)

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
