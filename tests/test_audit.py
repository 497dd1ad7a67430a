"""The audit log, on a real directory."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from aod import audit
from aod.audit import FILE, OLDER, Audit
from aod.bundle import OutputDirectory
from aod.cleanup import Cleanup, Limits
from tests.conftest import Told, names_in


@asynccontextmanager
async def writing(output: OutputDirectory, *, enabled: bool = True) -> AsyncIterator[Audit]:
    """An audit log that is written, and ended as the service does it."""
    log = Audit(output.fd, enabled)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(log.run())
        await asyncio.sleep(0)
        yield log
        task.cancel()


def lines(output: OutputDirectory) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output.path / FILE).read_text().splitlines()]


async def test_each_note_is_a_line_of_json(output: OutputDirectory) -> None:
    async with writing(output) as log:
        log.record("child", argv=["dmesg", "--time"], exit_code=0, path=Path("/x"))
        log.record("config", sha256="ab")

    child, config = lines(output)
    assert child.pop("time").startswith("20")
    assert child == {"event": "child", "argv": ["dmesg", "--time"], "exit_code": 0, "path": "/x"}
    assert config["sha256"] == "ab"


@pytest.mark.parametrize("umask", [0o000, 0o077])
async def test_the_file_is_for_us_alone(output: OutputDirectory, umask: int) -> None:
    before = os.umask(umask)
    try:
        async with writing(output) as log:
            log.record("config")
    finally:
        os.umask(before)

    assert (output.path / FILE).stat().st_mode & 0o777 == 0o600


async def test_a_link_in_its_place_is_refused(
    output: OutputDirectory, tmp_path: Path, told: Told
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (output.path / FILE).symlink_to(victim)

    async with writing(output) as log:
        log.record("config")

    assert told.count("audit not written: lines=1") == 1
    assert victim.read_text() == "untouched"


async def test_a_disabled_log_writes_nothing(output: OutputDirectory) -> None:
    async with writing(output, enabled=False) as log:
        log.record("config")

    assert not (output.path / FILE).exists()


async def test_a_full_log_becomes_the_older_one(
    output: OutputDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "MAX_BYTES", 100)
    log = Audit(output.fd, True)
    for number in range(3):
        log.record("note", number=number, filler="x" * 100)
        await asyncio.to_thread(log.flush)

    assert names_in(output.path) == [OLDER]
    assert json.loads((output.path / OLDER).read_text())["number"] == 2


async def test_a_later_run_appends(output: OutputDirectory) -> None:
    for number in (1, 2):
        async with writing(output) as log:
            log.record("start", number=number)

    assert [line["number"] for line in lines(output)] == [1, 2]


async def test_notes_from_threads_are_written_while_it_runs(output: OutputDirectory) -> None:
    async with writing(output) as log:
        await asyncio.to_thread(log.record, "delete", file="aod_1", bytes=2, reason="age")
        async with asyncio.timeout(5):
            while not names_in(output.path) or not lines(output):  # noqa: ASYNC110 - by a thread
                await asyncio.sleep(0.01)

        assert lines(output)[0]["event"] == "delete"


async def test_what_does_not_fit_is_counted_in_a_line_of_its_own(
    output: OutputDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "MAX_WAITING", 2)
    log = Audit(output.fd, enabled=True)
    for number in range(5):
        log.record("start", number=number)
    await asyncio.to_thread(log.flush)

    log.record("start", number=5)
    await asyncio.to_thread(log.flush)

    assert [line["event"] for line in lines(output)] == ["start", "start", "dropped", "start"]
    assert lines(output)[2]["lines"] == 3


async def test_a_bundle_that_is_deleted_is_noted(output: OutputDirectory) -> None:
    for number in (1, 2):
        (output.path / f"aod_{number:019}.tar.zst").write_bytes(b"x" * 10)
    async with writing(output) as log:
        cleanup = Cleanup(output, Limits(1, 1 << 20), log.record)
        await asyncio.to_thread(cleanup.sweep, 10, 1 << 60)

    (note,) = lines(output)
    assert (note["event"], note["file"], note["bytes"], note["reason"]) == (
        "delete",
        "aod_0000000000000000001.tar.zst",
        10,
        "age",
    )


async def test_the_log_follows_a_directory_that_was_removed(output: OutputDirectory) -> None:
    async with writing(output) as log:
        output.path.rmdir()
        await asyncio.to_thread(output.follow)
        log.record("config", sha256="ab")

    assert [line["sha256"] for line in lines(output)] == ["ab"]
