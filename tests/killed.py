"""Kills the pipeline of incidents at random moments, and looks what the next start makes of it.

    python -m tests.killed FOLDER TIMES [SEED]

A process of its own that is small and has no threads: it forks a child for each time, with all
imported, which runs incidents with real actions one after the other until SIGKILL. Prints a
line of JSON with what was found, and exits with 1 at the first thing that is not as it should be.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from aod import actions
from aod.actions.action import Action, Context, Result
from aod.actions.output import Output
from aod.actions.program import run
from aod.bundle import OutputDirectory, recover
from aod.detectors.anomaly import Anomaly
from aod.incidents.incidents import Incidents, make_cooldowns
from aod.incidents.waiters import BundleWaiters
from aod.processes.command import Command
from aod.report.summary import render
from aod.runtime.counts import ServiceCounts
from aod.runtime.queue import Queue
from tests.children import make_runner
from tests.conftest import make_anomaly, make_config
from tests.disk import clean_of, unrecorded, whole
from tests.evidence import Unheard, make_evidence

PR_SET_CHILD_SUBREAPER = 36
LONGEST_S = 0.5
"""The kill comes at most so long after the incidents begin; one takes 60 to 150 ms."""
ENDS_WITHIN_S = 5.0

COMMANDS = {
    "dmesg": Command("head", ("-c", "300000", "/dev/urandom")),
    "stats": Command("seq", ("20000",)),
    "mounts": Command("sleep", ("60",), run_for_s=0.03),
}


PROGRAMS = {command.program for command in COMMANDS.values()}


class Real:
    """An action that runs a program."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.file_name = f"{name}.txt"

    async def collect(self, context: Context, output: Output) -> Result:
        """Run it."""
        return await run(COMMANDS[self.name], context, output)


def create(name: str) -> Action:
    """Stand in for aod.actions.create."""
    return Real(name)


async def pipeline(folder: Path) -> None:
    """Keep one incident after another, each sealed while the next is collected."""
    actions.create = create
    config = make_config(folder, incidents={"cooldown_sec": 0, "max_cooldown_sec": 0})
    names = ("latency", "error")
    with await asyncio.to_thread(OutputDirectory.open, folder) as output:
        output.lock()
        await asyncio.to_thread(recover, output, render, unrecorded, clean_of)
        loop = asyncio.get_running_loop()
        incidents = Incidents(
            config,
            output,
            make_runner(),
            make_evidence(),
            Unheard(),
            make_cooldowns(config),
            ServiceCounts(),
            lambda work, name: loop.create_task(work, name=name),
            BundleWaiters(),
        )
        channel = Queue[Anomaly](10)
        running = asyncio.create_task(incidents.run(channel), name="incidents")
        for number in range(1000):
            channel.send(make_anomaly(names[number % 2], time.time_ns()))
            await asyncio.sleep(0.02)
        await running


def start(folder: Path) -> int:
    """Fork a child that runs the pipeline, and return its pid once it is about to begin."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writing, b"x")
        asyncio.run(pipeline(folder))
        os._exit(3)
    os.close(writing)
    os.read(reading, 1)
    os.close(reading)
    return pid


def children(pid: int) -> dict[int, str]:
    """Return the children of a process with the programs that they run at this moment."""
    found: dict[int, str] = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(OSError):
            found[int(child)] = Path(f"/proc/{child}/comm").read_text().strip()
    return found


def kill(pid: int) -> int:
    """Kill the service and wait until its children are gone; return how many had to be killed.

    Those are in a gap that setpriv leaves: it asks for the signal of the parent's death after
    it was started, and a parent that died before that has sent none.
    """
    begun = {child for child, program in children(pid).items() if program in PROGRAMS}
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    until_s = time.monotonic() + ENDS_WITHIN_S
    while begun & children(os.getpid()).keys():
        assert time.monotonic() < until_s, "a child outlived the service"
        reap()
    time.sleep(0.05)  # for those in the gap to begin
    outlived = reap()
    for child in outlived:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return len(outlived)


def reap() -> set[int]:
    """Reap the children that are gone and return those that are not."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return set(children(os.getpid()))


def look(folder: Path) -> list[str]:
    """Recover as the next start does, and return the states of the bundles; all are whole."""
    with OutputDirectory.open(folder) as output:
        output.lock()
        recover(output, render, unrecorded, clean_of)
        assert recover(output, render, unrecorded, clean_of) == []
    names = sorted(path.name for path in folder.iterdir())
    assert all(name.endswith(".tar.zst") for name in names), names
    return [check(folder / name) for name in names]


def check(path: Path) -> str:
    """Return the state of a bundle after every file of it was compared with its manifest."""
    manifest = whole(path)
    assert manifest.state in ("sealed", "interrupted"), manifest.state
    if manifest.state == "sealed":
        assert manifest.files.keys() >= {"summary.txt", "events.npy", "dmesg.txt", "stats.txt"}
    assert "summary.txt" in manifest.files
    return manifest.state


def left_behind(folder: Path) -> str:
    """Say what the kill left, before anything is recovered."""
    names = [path.name for path in folder.iterdir()] if folder.exists() else []
    if any(name.endswith(".tmp") for name in names):
        return "half sealed"
    open_ones = [name for name in names if not name.endswith(".zst")]
    if any(f"{name}.tar.zst" in names for name in open_ones):
        return "sealed beside its directory"
    if any((folder / name / "manifest.json").exists() for name in open_ones):
        return "with manifest"
    return "without manifest" if open_ones else "nothing open"


def main(folder: Path, times: int, seed: int) -> dict[str, Any]:
    """Kill so many times and return what was found."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    moments = random.Random(seed)
    left, states = Counter[str](), Counter[str]()
    outlived = 0
    for number in range(times):
        place = folder / str(number)
        pid = start(place)
        time.sleep(moments.uniform(0.0, LONGEST_S))
        outlived += kill(pid)
        left[left_behind(place)] += 1
        if place.exists():
            states.update(look(place))
    return {"kills": times, "left": left, "states": states, "outlived": outlived}


if __name__ == "__main__":
    arguments = [*sys.argv[1:], "4"]
    print(json.dumps(main(Path(arguments[0]), int(arguments[1]), int(arguments[2]))))
