"""What the kernel says of a thread that waits for an answer: its state and its stack.

Of /proc/PID/task/TID only files that the kernel writes from memory are read: neither the
thread's memory nor any path of its own is touched, so that nothing asks a server.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from aod.events import Events, Flag

PROC = Path("/proc")
MAX_TASKS = 10
MAX_BYTES = 4096
"""Kept of each file; a stack of the kernel has at most 64 entries."""


@dataclass(frozen=True, slots=True)
class Task:
    """One thread: `state` as in its status file, `wchan` where it sleeps, `stack` innermost first.

    What the kernel does not tell is empty: a stack needs CONFIG_STACKTRACE and CAP_SYS_ADMIN.
    """

    state: str
    wchan: str
    stack: tuple[str, ...]


Tasks: TypeAlias = Mapping[tuple[int, int], Task]
"""{(connection id, message id): the thread that waits for this request}"""


def waiting_for(requests: Events, proc: Path = PROC) -> dict[tuple[int, int], Task]:
    """Look at the threads behind open requests of shape (n,), at most MAX_TASKS; reads files.

    A compound is one wait, told with the first of its requests. Nobody waits for an async one.
    """
    waited = requests[(requests["flags"] & Flag.ASYNC) == 0]
    first: dict[tuple[int, int], tuple[int, int]] = {}
    for pid, tid, *request in waited[["pid", "tid", "connection_id", "message_id"]].tolist():
        first.setdefault((pid, tid), (request[0], request[1]))
    chosen = list(first.items())[:MAX_TASKS]
    tasks = {request: _look(proc / f"{pid}/task/{tid}") for (pid, tid), request in chosen}
    return {request: task for request, task in tasks.items() if task}


def _look(folder: Path) -> Task | None:
    status = _read(folder / "status")
    if not status:
        return None
    state = next((line for line in status.splitlines() if line.startswith("State:")), "")
    entries = _read(folder / "stack").splitlines()
    return Task(
        state.removeprefix("State:").strip(),
        _read(folder / "wchan").strip(),
        tuple(entry.partition("] ")[2] or entry for entry in entries),
    )


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES).decode(errors="replace")
    except OSError:  # the thread has ended, or the kernel does not tell
        return ""
