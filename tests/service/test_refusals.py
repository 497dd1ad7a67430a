"""Incidents on a disk that refuses, at every step: the bundle may be lost, nothing else is."""

import asyncio
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from aod.actions.action import Context, Result
from aod.actions.output import Output
from aod.bundle import OutputDirectory, recover
from aod.bundle.manifest import Manifest
from aod.detectors.anomaly import Anomaly
from aod.incidents.incidents import Incidents
from aod.report.summary import render
from tests.conftest import Collect, Logged, make_anomaly, make_config, names_in
from tests.disk import Faults, clean_of, remount, small_disk, still_bytes, unrecorded, whole
from tests.events import SECOND
from tests.incidents.test_incidents import handle, make_incidents

Script = dict[str, Collect]
CASES = {
    "full": (errno.ENOSPC, True),
    "over its quota": (errno.EDQUOT, True),
    "read-only": (errno.EROFS, True),
    "failing once": (errno.EIO, False),
}


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder whose files are not written through to a disk, which would take a minute."""
    with TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


async def settle(output: OutputDirectory) -> None:
    """Do what the clean-up does with what is left."""
    await asyncio.to_thread(recover, output, render, unrecorded, clean_of)


async def check_whole(output: OutputDirectory) -> list[Manifest]:
    """Return the manifests of what has a final name, each whole; nothing else has one."""
    sealed = [name for name in names_in(output.path) if name.endswith(".tar.zst")]
    return [await asyncio.to_thread(whole, output.path / name) for name in sealed]


async def check_next(incidents: Incidents, output: OutputDirectory, *, told: bool) -> None:
    """See that all is in order once the disk is: nothing half is left, the next one is kept.

    `told` says that the first one could not be opened, and the next has to tell of it. What a
    read-only disk kept of it is sealed all the same.
    """
    await settle(output)
    await handle(incidents, make_anomaly("error", 5 * SECOND))

    manifests = await check_whole(output)
    last = manifests[-1]
    held_back = [(held.name, held.count) for held in last.suppressed_since_last]
    assert len(names_in(output.path)) == len(manifests)
    assert len(manifests) == 2 or told
    assert last.state == "sealed"
    assert {action.state for action in last.actions.values()} == {"ok"}
    assert held_back == ([("latency", 1)] if told else [])
    assert output.open_names == output.troubled == set()
    assert await asyncio.to_thread(still_bytes, output) == 0


def open_files() -> set[str]:
    """Return the paths of what this process has open."""
    links = Path("/proc/self/fd").iterdir()
    return {str(link.readlink()) for link in links if link.is_symlink()}


def fill(disk: Path, *, but_bytes: int) -> None:
    """Take all room but so much, by a file `ballast`."""
    status = os.statvfs(disk)
    (disk / "ballast").write_bytes(bytes(status.f_bavail * status.f_frsize - but_bytes))


@pytest.mark.parametrize("case", CASES)
async def test_a_disk_that_refuses_any_one_step_costs_at_most_that_bundle(
    memory: Path, script: Script, logged: Logged, case: str
) -> None:
    number, lasting = CASES[case]
    struck: set[str] = set()
    outcomes: set[str] = set()
    for first in range(1, 500):
        with await asyncio.to_thread(OutputDirectory.open, memory / str(first)) as output:
            incidents = make_incidents(make_config(output.path), output)
            faults = Faults(number, first, lasting=lasting)
            with faults.on():
                end = await first_of(incidents, logged)
            await check_whole(output)
            outcomes.add(end)
            await check_next(incidents, output, told=end == "not opened")
        assert not any(str(memory) in path for path in open_files())
        if not faults.struck:
            break
        struck.add(faults.struck[0])

    assert not faults.struck
    assert first > 30
    assert struck >= {"mkdir", "create", "write", "fsync", "fchmod", "rename"}
    assert outcomes == {"not opened", "not sealed", "sealed"}


async def test_a_disk_that_fills_up_at_any_page_costs_at_most_that_bundle(
    tmp_path: Path, script: Script, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    noise = os.urandom(5 * page)

    async def fills(context: Context, out: Output) -> Result:
        await out.write(noise)
        return Result()

    script["dmesg"] = script["stats"] = fills
    outcomes: list[str] = []
    while "sealed" not in outcomes:
        mount = tmp_path / str(len(outcomes))
        with (
            small_disk(mount, kib=512),
            await asyncio.to_thread(OutputDirectory.open, mount) as output,
        ):
            incidents = make_incidents(make_config(mount), output)
            await asyncio.to_thread(fill, mount, but_bytes=len(outcomes) * page)
            with monkeypatch.context() as patch:
                # Others take the room after it was looked at.
                patch.setattr(output, "free_bytes", lambda: 1 << 30)
                outcomes.append(await first_of(incidents, logged))
                await check_whole(output)
                await asyncio.to_thread((mount / "ballast").unlink)
                await check_next(incidents, output, told=outcomes[-1] == "not opened")

    assert list(dict.fromkeys(outcomes)) == ["not opened", "not sealed", "sealed"]
    assert len(outcomes) > 10


async def test_a_disk_that_turns_read_only_while_collecting_has_its_bundle_sealed_later(
    tmp_path: Path, script: Script, logged: Logged
) -> None:
    mount = tmp_path / "disk"

    async def breaks(context: Context, out: Output) -> Result:
        if not logged.count("output failed"):
            await asyncio.to_thread(remount, mount, "ro")
            await out.write(b"refused")
        return Result()

    async def writes_nothing(context: Context, out: Output) -> Result:
        return Result()

    # A file that is open to be written keeps a filesystem from being remounted.
    script.update(dmesg=writes_nothing, stats=writes_nothing, mounts=breaks)
    with (
        small_disk(mount, kib=65536),
        await asyncio.to_thread(OutputDirectory.open, mount) as output,
    ):
        incidents = make_incidents(make_config(mount), output)
        outcome = await first_of(incidents, logged, make_anomaly("error-2"))
        await handle(incidents, make_anomaly("latency", 3 * SECOND))
        await settle(output)
        left = names_in(mount)
        await asyncio.to_thread(remount, mount, "rw")
        await settle(output)
        await handle(incidents, make_anomaly("error", 5 * SECOND))
        first, second = await check_whole(output)

    assert outcome == "not sealed"
    assert left == ["aod_0000000001000000000"]
    assert logged.count("leftover stays") == 1
    assert first.state == "interrupted"
    assert first.trigger == "error-2"
    assert [held.name for held in second.suppressed_since_last] == ["latency"]


async def first_of(incidents: Incidents, logged: Logged, anomaly: Anomaly | None = None) -> str:
    """Handle an anomaly and return what became of its bundle, which is told once."""
    logged.lines.clear()
    await handle(incidents, anomaly or make_anomaly())
    (line,) = [line for line in logged.lines if line.startswith("bundle ")]
    match = re.match(r"bundle (not opened|not sealed|sealed)\b", line)
    assert match
    return match[1]
