"""The operations of a manifest, sorted by what went wrong."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from aod import text
from aod.bundle.manifest import ActionResult, Manifest, Operation
from aod.detectors.words import Sort, words_of

HUNG_NS = 5_000_000_000
"""The age from which a request hangs, as in the shipped config."""

Group: TypeAlias = Literal["hung", "open", "slow", "failed", "lost", "starved"]

_OF_KIND: Mapping[str, Group] = {"reconnect": "lost", "credit_wait": "starved"}
"""The group that an operation of this kind belongs to, whatever it was counted for."""


@dataclass(frozen=True, slots=True)
class SortedOperations:
    """The operations of a bundle, and its actions' results by name.

    Operations hung, or were open for less than HUNG_NS when somebody looked, were slow, or
    failed; connections were lost; credits were waited for.
    """

    hung: Sequence[Operation]
    open: Sequence[Operation]
    slow: Sequence[Operation]
    failed: Sequence[Operation]
    lost: Sequence[Operation]
    starved: Sequence[Operation]
    actions: Mapping[str, ActionResult]

    def file(self, action: str) -> str:
        """Return the file to open, or why there is none."""
        if action not in self.actions:
            return f"{action} (not collected)"
        result = self.actions[action]
        if result.file and _is_collected(result):
            return result.file
        return f"{action} (not collected: {text.printable(result.reason or result.state)})"

    def collected(self, *actions: str) -> list[str]:
        """Return the files to open, of those actions that have one."""
        results = [self.actions[action] for action in actions if action in self.actions]
        return [result.file for result in results if result.file and _is_collected(result)]


def evidence(manifest: Manifest) -> SortedOperations:
    """Sort a manifest's operations; failed is also what was given up."""
    found: dict[Group, dict[tuple[object, ...], Operation]] = {
        group: {} for group in ("hung", "open", "slow", "failed", "lost", "starved")
    }
    for anomaly in manifest.anomalies:
        sort = words_of(anomaly.anomaly).sort
        for operation in anomaly.events:
            # Two anomalies may have counted the same one.
            ids = operation.connection_id, operation.message_id, operation.tid
            for group in _groups(operation, sort):
                found[group][operation.time_ns, *ids] = operation
    sorted_out = {group: tuple(operations.values()) for group, operations in found.items()}
    return SortedOperations(**sorted_out, actions=manifest.actions)


def time_spent(operations: Sequence[Operation]) -> dict[str, float]:
    """Return the part (0..1) of all waiting that was spent in queue, server and payload."""
    total_ns = sum(operation.latency_ns for operation in operations)
    parts_ns = {
        "queue": sum(operation.queue_ns for operation in operations),
        "server": sum(operation.server_ns for operation in operations),
        "payload": sum(operation.payload_ns for operation in operations),
    }
    return {name: part_ns / total_ns if total_ns else 0.0 for name, part_ns in parts_ns.items()}


def _groups(operation: Operation, sort: Sort) -> Iterator[Group]:
    """Yield the groups of an operation that an anomaly of this sort has counted."""
    if operation.kind in _OF_KIND:
        yield _OF_KIND[operation.kind]
    elif sort == "asked":
        yield "hung" if operation.latency_ns >= HUNG_NS else "open"
    else:
        yield sort
        if sort == "slow" and operation.kind != "completed":
            yield "failed"


def _is_collected(result: ActionResult) -> bool:
    return bool(result.bytes) or result.state == "ok"
