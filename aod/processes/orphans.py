"""What a child leaves running in a session of its own: adopted, ended and reaped.

The process group of a child is killed at its end, but a grandchild can leave the group. The
kernel gives such orphans to the nearest subreaper above them (prctl(2)), which is aod.
"""

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
from pathlib import Path

from aod.processes.children import Children

log = logging.getLogger(__name__)

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
TASKS = Path("/proc/self/task")


def adopt(wanted: bool = True) -> None:
    """Have orphans of this process's children become its own; raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


async def watch(children: Children) -> None:
    """End each orphan as soon as one of our children has ended, until cancelled."""
    adopt()
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGCHLD, ended.set)
    try:
        while True:
            await ended.wait()
            ended.clear()
            await sweep(children)
    finally:
        loop.remove_signal_handler(signal.SIGCHLD)
        adopt(False)


async def sweep(children: Children) -> int:
    """End and reap whoever is our child and is none of `children`; return how many there were.

    While a child is being started nothing is done: its end brings another look.
    """
    started = children.started
    found = await asyncio.to_thread(pids_of_all)
    if children.is_starting or children.started != started:
        return 0
    orphans = found - children.pids
    for pid in orphans:
        _end(pid)
    return len(orphans)


def pids_of_all() -> set[int]:
    """Return the pids of all children of this process; reads procfs (CONFIG_PROC_CHILDREN)."""
    found: set[int] = set()
    for task in TASKS.iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread that has ended
            found |= set(map(int, (task / "children").read_text().split()))
    return found


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        if os.waitpid(pid, os.WNOHANG)[0] == 0:
            log.warning("a child's orphan was ended pid=%d", pid)
