"""The events of a manifest, sorted by what they tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from aod import text

Event: TypeAlias = Mapping[str, Any]
HUNG_NS = 5_000_000_000
"""The age from which a request hangs, as in the shipped config."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The events of a bundle, and its actions' results by name.

    Operations hung, or were open for less than HUNG_NS when somebody looked, were slow, or
    failed; connections were lost; credits were waited for.
    """

    hung: Sequence[Event]
    open: Sequence[Event]
    slow: Sequence[Event]
    failed: Sequence[Event]
    lost: Sequence[Event]
    starved: Sequence[Event]
    actions: Mapping[str, Mapping[str, Any]]

    def file(self, action: str) -> str:
        """Return the file to open, or why there is none."""
        result = self.actions.get(action)
        if result is None:
            return f"{action} (not collected)"
        if _is_collected(result):
            return str(result["file"])
        reason = text.printable(str(result.get("reason") or result.get("state", "?")))
        return f"{action} (not collected: {reason})"

    def collected(self, *actions: str) -> list[str]:
        """Return the files to open, of those actions that have one."""
        results = [self.actions.get(action, {}) for action in actions]
        return [str(result["file"]) for result in results if _is_collected(result)]


def _is_collected(result: Mapping[str, Any]) -> bool:
    return bool(result.get("file") and (result.get("bytes") or result.get("state") == "ok"))


def evidence(manifest: Mapping[str, Any]) -> Evidence:
    """Sort a manifest's events by their anomaly; failed is also what was given up."""
    hung: dict[tuple[Any, ...], Event] = {}
    still_open: dict[tuple[Any, ...], Event] = {}
    slow: dict[tuple[Any, ...], Event] = {}
    failed: dict[tuple[Any, ...], Event] = {}
    of_kind: dict[str, dict[tuple[Any, ...], Event]] = {"reconnect": {}, "credit_wait": {}}
    for anomaly in manifest.get("anomalies", ()):
        for event in anomaly.get("events", ()):
            kind = str(event.get("kind"))
            names = ("time_ns", "connection_id", "message_id", "tid")
            key = tuple(event.get(name) for name in names)
            if kind in of_kind:
                of_kind[kind][key] = event
                continue
            if anomaly.get("anomaly") == "inflight":
                hung[key] = event
                continue
            if anomaly.get("anomaly") == "manual":
                is_old = event.get("latency_ns", 0) >= HUNG_NS
                (hung if is_old else still_open)[key] = event
                continue
            if anomaly.get("anomaly") == "latency":
                slow[key] = event
            if anomaly.get("anomaly") == "error" or kind != "completed":
                failed[key] = event
    return Evidence(
        list(hung.values()),
        list(still_open.values()),
        list(slow.values()),
        list(failed.values()),
        list(of_kind["reconnect"].values()),
        list(of_kind["credit_wait"].values()),
        manifest.get("actions", {}),
    )
