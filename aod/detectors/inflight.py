"""Requests that are not answered, or wait to be sent, reported while they hang."""

from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from aod.detectors import MAX_THRESHOLD_MS
from aod.detectors.anomaly import Anomaly, AnomalyType, keep_evidence
from aod.detectors.section import AnomalySection, nanoseconds
from aod.detectors.words import Words
from aod.events import Events, Flag, Kind
from aod.schema import number
from aod.smb import Command
from aod.smb.filter import Filter, is_patient


class InflightAnomaly(AnomalySection):
    """Requests that are not answered."""

    type: Literal["Inflight"] = Field(description="kind of anomaly")
    tool: Literal["smbslower"] = Field(default="smbslower", description="view of the tracer")
    threshold_ms: float = number(
        5000,
        1,
        MAX_THRESHOLD_MS,
        "milliseconds",
        "age from which an open request counts as hanging",
    )

    @property
    def threshold_ns(self) -> int:
        """Age at which a request is reported first; at each doubling it is reported again."""
        return nanoseconds(self.threshold_ms)


class Inflight:
    """Raises for a request that is open for `threshold_ns`, and at each doubling of its age.

    A thread that waits to send one counts alike; once it has sent, it is another request.
    What waits by nature (CHANGE_NOTIFY, LOCK once pended) and what aod sent never count.
    """

    Section: ClassVar[type[AnomalySection]] = InflightAnomaly
    words: ClassVar[Words] = Words(
        noun="request", verb="open", sort="hung", order="oldest", is_urgent=True, is_open=True
    )

    def __init__(self, name: str, threshold_ns: int) -> None:
        self.name = name
        self.filter = Filter()
        self._threshold_ns = threshold_ns
        self._next_ns: dict[tuple[int, ...], int] = {}
        """{what distinguishes a request: age at which it is reported again}"""

    @classmethod
    def from_config(cls, name: str, section: InflightAnomaly, interval_ns: int) -> Self:
        """Make the detector that a section of the config asks for."""
        return cls(name, section.threshold_ns)

    @classmethod
    def sample(cls, section: InflightAnomaly, operation: Events) -> Events:
        """Return a request that hangs."""
        operation["kind"], operation["command"] = Kind.UNANSWERED, Command.SMB2_CREATE
        operation["latency_ns"] = section.threshold_ns
        return operation

    def feed(self, events: Events) -> Anomaly | None:
        """Judge nothing: what has ended does not hang."""
        return None

    def tick(self, open_requests: Events) -> Anomaly | None:
        """Judge all requests that are open now, shape (n,); the others are forgotten."""
        hanging = _oldest_first(open_requests[self._hangs(open_requests)])
        expected_ns = self._next_ns
        self._next_ns = {}
        due = np.zeros(hanging.size, np.bool)
        for index, (key, age_ns) in enumerate(
            zip(_identities(hanging), hanging["latency_ns"].tolist(), strict=True)
        ):
            next_ns = expected_ns.get(key, self._threshold_ns)
            due[index] = age_ns >= next_ns
            while next_ns <= age_ns:
                next_ns *= 2
            self._next_ns[key] = next_ns
        if not due.any():
            return None
        return Anomaly(
            AnomalyType.INFLIGHT,
            self.name,
            int(hanging["time_ns"].max()),
            count=int(due.sum()),
            events=keep_evidence(hanging[due]),
        )

    def _hangs(self, requests: Events) -> NDArray[np.bool]:
        foreign = (requests["flags"] & Flag.SELF) == 0
        old = requests["latency_ns"] >= self._threshold_ns
        hanging: NDArray[np.bool] = old & foreign & ~is_patient(requests)
        return hanging


def _oldest_first(requests: Events) -> Events:
    """Return the requests in the order of their start; those of a compound start together."""
    started_ns = requests["time_ns"] - requests["latency_ns"]
    order = np.lexsort((requests["message_id"], requests["connection_id"], started_ns))
    return requests[order]


def _identities(requests: Events) -> list[tuple[int, ...]]:
    """Return what distinguishes each request: message ids restart after a reconnect.

    A thread that waits to send has no message id yet.
    """
    started_ns = requests["time_ns"] - requests["latency_ns"]
    columns = (requests["connection_id"], requests["message_id"], requests["tid"], started_ns)
    return list(zip(*(column.tolist() for column in columns), strict=True))
