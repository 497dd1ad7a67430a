"""What is reported of an incident: the fields of its journal entries, the JSON of a notice."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np

from aod import smb
from aod.bundle import manifest
from aod.detectors.anomaly import Anomaly
from aod.events import has_command
from aod.report.sentences import sentence
from aod.runtime.journal import MAX_VALUES, Fields
from aod.smb.paths import share_path

FORMAT = 1

Outcome: TypeAlias = Literal["sealed", "not opened", "not sealed"]


@dataclass(frozen=True, slots=True)
class Worst:
    """The worst operation of an anomaly; `share` is as a mount has it, "" where not known."""

    time: str
    command: str
    latency_ns: int
    status: str
    error: str
    pid: int
    comm: str
    share: str


@dataclass(frozen=True, slots=True)
class NotifiedAnomaly:
    """What is reported of an anomaly; the shares by how often they occur."""

    name: str
    type: str
    count: int
    emergency: bool
    reason: str
    shares: tuple[str, ...]
    worst: Worst | None


@dataclass(frozen=True, slots=True)
class Notice:
    """How one incident ended.

    `bundle` is the path of the sealed file, or of the directory when it was not sealed, "" when
    nothing was kept; `reason` says why.
    """

    outcome: Outcome
    bundle: str
    reason: str
    host: str
    raised: str
    sentence: str
    anomalies: tuple[NotifiedAnomaly, ...]

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON can hold it."""
        return {"format": FORMAT, **asdict(self)}

    def fields(self) -> Fields:
        """Return the fields of its journal entry; counts and the worst are over all anomalies."""
        worsts = [anomaly.worst for anomaly in self.anomalies if anomaly.worst]
        worst = max(worsts, key=lambda operation: operation.latency_ns, default=None)
        return {
            "AOD_OUTCOME": self.outcome,
            "AOD_BUNDLE": self.bundle,
            "AOD_REASON": self.reason,
            "AOD_ANOMALY": [anomaly.name for anomaly in self.anomalies],
            "AOD_TYPE": list(dict.fromkeys(anomaly.type for anomaly in self.anomalies)),
            "AOD_COUNT": sum(anomaly.count for anomaly in self.anomalies),
            "AOD_EMERGENCY": int(any(anomaly.emergency for anomaly in self.anomalies)),
            "AOD_SHARE": _first_of(anomaly.shares for anomaly in self.anomalies),
            "AOD_COMMAND": worst.command if worst else "",
            "AOD_STATUS": worst.status if worst else "",
            "AOD_LATENCY_NS": str(worst.latency_ns) if worst else "",
            "AOD_COMM": worst.comm if worst else "",
        }


class Recipient(Protocol):
    """Who wants to know how each incident ended."""

    def send(self, notice: Notice) -> None:
        """Take a notice; never waits."""


def ended(
    outcome: Outcome, bundle: str, reason: str, described: Sequence[manifest.Anomaly], host: str
) -> Notice:
    """Return the notice of an incident; `described` are its anomalies as in the manifest."""
    return Notice(
        outcome=outcome,
        bundle=bundle,
        reason=reason,
        host=host,
        raised=described[0].raised,
        sentence=" ".join(sentence(anomaly) for anomaly in described),
        anomalies=tuple(map(_notified, described)),
    )


def opened(anomaly: Anomaly, shares: Sequence[str]) -> Fields:
    """Return the fields of an incident that begins; `shares` are those known so far."""
    return {
        "AOD_ANOMALY": anomaly.name,
        "AOD_TYPE": str(anomaly.anomaly),
        "AOD_COUNT": anomaly.count,
        "AOD_EMERGENCY": int(anomaly.emergency),
        "AOD_REASON": anomaly.reason,
        "AOD_SHARE": _first_of([anomaly.shares, shares]),
        **_worst(anomaly.worst),
    }


def _worst(operation: np.void | None) -> Fields:
    """Return the fields of the worst operation, before its names are looked up."""
    if operation is None:
        return {}
    named = bool(has_command(operation.reshape(1))[0])
    return {
        "AOD_COMMAND": smb.command_name(int(operation["command"])) if named else "",
        "AOD_STATUS": smb.status_name(int(operation["status"])) if named else "",
        "AOD_LATENCY_NS": int(operation["latency_ns"]),
        "AOD_COMM": operation["comm"].decode(errors="replace"),
    }


def _notified(anomaly: manifest.Anomaly) -> NotifiedAnomaly:
    shares = Counter(share for each in anomaly.events if (share := _share(each)))
    return NotifiedAnomaly(
        name=anomaly.name,
        type=anomaly.anomaly,
        count=anomaly.count,
        emergency=anomaly.emergency,
        reason=anomaly.reason,
        shares=tuple(share for share, _ in shares.most_common(MAX_VALUES)),
        worst=_worst_of(anomaly.worst) if anomaly.worst else None,
    )


def _worst_of(operation: manifest.Operation) -> Worst:
    return Worst(
        time=operation.time,
        command=operation.command,
        latency_ns=operation.latency_ns,
        status=operation.status,
        error=operation.error,
        pid=operation.pid,
        comm=operation.comm,
        share=_share(operation),
    )


def _share(operation: manifest.Operation) -> str:
    """Return `//server/share` as a mount has it, or "" where the share is not known."""
    return share_path(operation.server, operation.share) if operation.share else ""


def _first_of(groups: Iterable[Sequence[str]]) -> list[str]:
    return list(dict.fromkeys(share for shares in groups for share in shares))[:MAX_VALUES]
