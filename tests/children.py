"""Who is told of the children that a test starts, and what actions need beside them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aod.actions.action import Span
from aod.actions.runner import Runner
from aod.processes.children import Children

RAISED_WALL_NS = 1_763_806_201_000_000_000  # 2025-11-22T10:10:01Z
SPAN = Span(
    RAISED_WALL_NS,
    lookback_s=300,
    post_trigger_s=5,
    timeout_s=10,
    max_bytes=16 << 20,
    snaplen=192,
)
"""As in the shipped config."""


class Witness:
    """Notes which pids were ours and what the audit was told; says which server has trouble."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.marked: list[int] = []
        self.unmarked: list[int] = []
        self.records: list[dict[str, Any]] = []
        self.troubles: dict[str, str] = {}

    @contextmanager
    def own(self, pid: int) -> Iterator[None]:
        self.marked.append(pid)
        self.started.set()
        yield
        self.unmarked.append(pid)

    def record(self, event: str, /, **facts: Any) -> None:
        self.records.append({"event": event, **facts})

    def objection(self, server: str) -> str | None:
        return self.troubles.get(server)


def make_runner(witness: Witness | None = None) -> Runner:
    """Return a runner with four slots whose children a witness is told of."""
    told = witness or Witness()
    return Runner(4, Children(told, told), told)
