"""What the kernel says of a thread that waits for an answer: its state and its stack.

Of /proc/PID/task/TID only files that the kernel writes from memory are read: neither the
thread's memory nor any path of its own is touched, so that nothing asks a server.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from aod.events import Events, Flag
from aod.host.capabilities import STACKS, raised

PROC = Path("/proc")
MAX_THREADS = 10
MAX_BYTES = 4096
"""Kept of each file; a stack of the kernel has at most 64 entries."""
COMM_CHARS = 15
"""Of a thread's name, as in an event: that of a kworker is shown with its work queue."""


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread: `state` as in its status file, `wchan` where it sleeps, `stack` innermost first.

    What the kernel does not show is empty: a stack needs CONFIG_STACKTRACE and CAP_SYS_ADMIN.
    `pid` is that of its process.
    """

    state: str
    wchan: str
    stack: tuple[str, ...]
    pid: int = 0
    uid: int = 0
    comm: str = ""


Threads: TypeAlias = Mapping[tuple[int, int, int], Thread]
"""{(connection id, message id, thread id): the thread that waits for this request}"""


def waiting_for(requests: Events, proc: Path = PROC) -> dict[tuple[int, int, int], Thread]:
    """Look at the threads behind open requests of shape (n,), at most MAX_THREADS; reads files.

    A compound is one wait, shown with the first of its requests. Nobody waits for an async one.
    """
    waited = requests[(requests["flags"] & Flag.ASYNC) == 0]
    first: dict[tuple[int, int], tuple[int, int, int]] = {}
    for pid, tid, *request in waited[["pid", "tid", "connection_id", "message_id"]].tolist():
        first.setdefault((pid, tid), (request[0], request[1], tid))
    chosen = list(first.items())[:MAX_THREADS]
    threads = {request: read_thread(proc / f"{pid}/task/{tid}") for (pid, tid), request in chosen}
    return {request: thread for request, thread in threads.items() if thread}


@raised(*STACKS)
def read_thread(folder: Path) -> Thread | None:
    """Return the thread of a folder in /proc, None when it has ended; reads files."""
    lines = _read(folder / "status").splitlines()
    if not lines:
        return None
    facts = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    entries = _read(folder / "stack").splitlines()
    return Thread(
        facts.get("State", "").strip(),
        _read(folder / "wchan").strip(),
        tuple(entry.partition("] ")[2] or entry for entry in entries),
        int(facts.get("Tgid", "0")),
        int(facts.get("Uid", "0").split("\t")[0]),
        facts.get("Name", "")[:COMM_CHARS],
    )


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES).decode(errors="replace")
    except OSError:  # the thread has ended, or the kernel does not show it
        return ""
