"""What is told of an incident: the fields of its journal entries, the JSON of a notice."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from aod import smb
from aod.detectors.anomaly import Anomaly
from aod.events import has_command
from aod.report.summary import sentence
from aod.runtime.journal import MAX_VALUES, Fields

FORMAT = 1

Outcome: TypeAlias = Literal["sealed", "not opened", "not sealed"]

_OPERATION = ("time", "command", "latency_ns", "status", "error", "pid", "comm")
_TOLD = ("name", "anomaly", "count", "emergency", "reason")


@dataclass(frozen=True, slots=True)
class Notice:
    """How one incident ended.

    `bundle` is the path of the sealed file, or of the directory when it was not sealed, "" when
    nothing was kept; `reason` says why. Each of `anomalies` has its `name`, `type`, `count`,
    `emergency`, `reason`, `shares`, and the `worst` operation (None where there was none).
    """

    outcome: Outcome
    bundle: str
    reason: str
    host: str
    raised: str
    sentence: str
    anomalies: tuple[dict[str, Any], ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {"format": FORMAT, **asdict(self)}

    def fields(self) -> Fields:
        """Return the fields of its journal entry; counts and the worst are over all anomalies."""
        worsts = [anomaly["worst"] for anomaly in self.anomalies if anomaly["worst"]]
        worst: dict[str, Any] = max(
            worsts, key=lambda operation: int(operation["latency_ns"]), default={}
        )
        return {
            "AOD_OUTCOME": self.outcome,
            "AOD_BUNDLE": self.bundle,
            "AOD_REASON": self.reason,
            "AOD_ANOMALY": [str(anomaly["name"]) for anomaly in self.anomalies],
            "AOD_TYPE": list(dict.fromkeys(str(anomaly["type"]) for anomaly in self.anomalies)),
            "AOD_COUNT": sum(int(anomaly["count"]) for anomaly in self.anomalies),
            "AOD_EMERGENCY": int(any(anomaly["emergency"] for anomaly in self.anomalies)),
            "AOD_SHARE": _first_of(anomaly["shares"] for anomaly in self.anomalies),
            "AOD_COMMAND": str(worst.get("command", "")),
            "AOD_STATUS": str(worst.get("status", "")),
            "AOD_LATENCY_NS": str(worst.get("latency_ns", "")),
            "AOD_COMM": str(worst.get("comm", "")),
        }


def ended(
    outcome: Outcome,
    bundle: str,
    reason: str,
    described: Sequence[Mapping[str, Any]],
    host: str = "",
) -> Notice:
    """Return the notice of an incident; `described` are its anomalies as in the manifest."""
    return Notice(
        outcome=outcome,
        bundle=bundle,
        reason=reason,
        host=host,
        raised=str(described[0]["raised"]),
        sentence=" ".join(sentence(anomaly) for anomaly in described),
        anomalies=tuple(_told(anomaly) for anomaly in described),
    )


def opened(anomaly: Anomaly, shares: Sequence[str]) -> Fields:
    """Return the fields of an incident that begins; `shares` are those known so far."""
    return {
        "AOD_ANOMALY": anomaly.name,
        "AOD_TYPE": str(anomaly.anomaly),
        "AOD_COUNT": anomaly.count,
        "AOD_EMERGENCY": int(anomaly.emergency),
        "AOD_REASON": anomaly.reason,
        "AOD_SHARE": _first_of([[share.replace("\\", "/") for share in anomaly.shares], shares]),
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


def _told(anomaly: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is told of an anomaly: the shares by how often they occur."""
    name, kind, *rest = (anomaly[key] for key in _TOLD)
    shares = Counter(share for row in anomaly["events"] if (share := _share(row)))
    worst = anomaly["worst"]
    return {
        "name": name,
        "type": kind,
        **dict(zip(_TOLD[2:], rest, strict=True)),
        "shares": [share for share, _ in shares.most_common(MAX_VALUES)],
        "worst": {key: worst[key] for key in _OPERATION} | {"share": _share(worst)}
        if worst
        else None,
    }


def _share(row: Mapping[str, Any]) -> str:
    """Return `//server/share` as a mount has it, or "" where the share is not known."""
    return f"//{row['server'] or '?'}/{row['share']}" if row["share"] else ""


def _first_of(groups: Iterable[Sequence[str]]) -> list[str]:
    return list(dict.fromkeys(share for shares in groups for share in shares))[:MAX_VALUES]
