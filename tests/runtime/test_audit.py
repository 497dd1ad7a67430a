"""The audit log, on a real directory."""

import asyncio
import errno
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from aod.bundle import OutputDirectory
from aod.bundle.retention import Limits, Retention
from aod.runtime import audit
from aod.runtime.audit import FILE, OLDER, Audit
from tests.conftest import Logged, names_in


class Noting(Audit):
    """Notes on the loop that it has written."""

    def __init__(self, dir_fd: int) -> None:
        super().__init__(dir_fd, enabled=True)
        self.has_written = asyncio.Event()
        self._of_test = asyncio.get_running_loop()

    def flush(self) -> None:
        super().flush()
        self._of_test.call_soon_threadsafe(self.has_written.set)


@asynccontextmanager
async def writing(
    output: OutputDirectory, *, enabled: bool = True, log: Audit | None = None
) -> AsyncIterator[Audit]:
    """An audit log that is written, and ended as the service does it."""
    log = log or Audit(output.fd, enabled)
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
    output: OutputDirectory, tmp_path: Path, logged: Logged
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (output.path / FILE).symlink_to(victim)

    async with writing(output) as log:
        log.record("config")

    assert logged.count("audit not written: lines=1") == 1
    assert victim.read_text() == "untouched"


async def test_a_disabled_log_writes_nothing(output: OutputDirectory) -> None:
    async with writing(output, enabled=False) as log:
        log.record("config")

    assert not (output.path / FILE).exists()


def note(log: Audit, *numbers: int, filler: int = 0) -> None:
    """Note numbers and write them; blocking."""
    for number in numbers:
        log.record("note", number=number, filler="x" * filler)
    log.flush()


def numbers(path: Path) -> list[int]:
    return [json.loads(line)["number"] for line in path.read_text().splitlines()]


async def test_a_full_log_becomes_the_older_one_between_two_lines(output: OutputDirectory) -> None:
    log = Audit(output.fd, True, max_bytes=1000)

    await asyncio.to_thread(note, log, *range(10), filler=200)
    await asyncio.to_thread(note, log, 10)

    assert names_in(output.path) == [FILE, OLDER]
    assert numbers(output.path / OLDER) + numbers(output.path / FILE) == [6, 7, 8, 9, 10]
    assert all((output.path / name).stat().st_size <= 1000 for name in (FILE, OLDER))


async def test_a_line_that_is_larger_than_the_file_may_be_stands_alone(
    output: OutputDirectory,
) -> None:
    log = Audit(output.fd, True, max_bytes=100)

    await asyncio.to_thread(note, log, 1, 2, filler=100)

    assert numbers(output.path / OLDER) == [1]
    assert numbers(output.path / FILE) == [2]


async def test_what_is_too_large_for_the_lowered_limit_goes(output: OutputDirectory) -> None:
    log = Audit(output.fd, True)
    await asyncio.to_thread(note, log, *range(900), filler=200)
    log.max_bytes = 1000

    await asyncio.to_thread(note, log, 900)

    assert names_in(output.path) == [FILE]
    assert numbers(output.path / FILE) == [900]


@pytest.mark.parametrize(("total_mb", "expected"), [(2048, 4 << 20), (1, 52_428)])
def test_both_files_together_take_a_tenth_at_most(total_mb: int, expected: int) -> None:
    assert audit.part_of(total_mb << 20) == expected


async def test_a_line_that_a_crash_has_cut_costs_no_other(output: OutputDirectory) -> None:
    (output.path / FILE).write_text('{"number": 1}\n{"num')

    await asyncio.to_thread(note, Audit(output.fd, True), 2)

    first, cut, last = (output.path / FILE).read_text().splitlines()
    assert (first, cut) == ('{"number": 1}', '{"num')
    assert json.loads(last)["number"] == 2


@pytest.mark.parametrize("kind", ["fifo", "directory", "hard link", "of another"])
async def test_what_is_no_file_of_ours_is_refused_and_the_loss_told_later(
    output: OutputDirectory, tmp_path: Path, logged: Logged, kind: str
) -> None:
    path, elsewhere = output.path / FILE, tmp_path / "elsewhere"
    elsewhere.write_text("untouched\n")
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case "hard link":
            path.hardlink_to(elsewhere)
        case _ if os.geteuid():
            pytest.skip("only root can give a file away")
        case _:
            path.write_text("untouched\n")
            os.chown(path, 65534, 65534)
    log = Audit(output.fd, True)

    await asyncio.to_thread(note, log, 1)
    await asyncio.to_thread(note, log, 2, 3)
    path.rename(tmp_path / "away")
    await asyncio.to_thread(note, log, 4)

    assert logged.count("audit not written: lines=1") == 1
    assert logged.count("audit not written") == 2  # the second one for debugging only
    assert [line["event"] for line in lines(output)] == ["note", "dropped"]
    assert lines(output)[1]["lines"] == 3
    assert elsewhere.read_text() == "untouched\n"


async def test_a_full_disk_leaves_no_half_line(
    output: OutputDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Audit(output.fd, True)
    await asyncio.to_thread(note, log, 1)
    write, sizes = os.write, iter([10])

    def fills(fd: int, data: bytes) -> int:
        for size in sizes:
            return write(fd, data[:size])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "write", fills)
        await asyncio.to_thread(note, log, 2)
    await asyncio.to_thread(note, log, 3)

    assert [line.get("number", line.get("lines")) for line in lines(output)] == [1, 3, 1]


async def test_a_line_that_is_too_long_says_so(output: OutputDirectory) -> None:
    await asyncio.to_thread(note, Audit(output.fd, True), 1, filler=audit.MAX_LINE_BYTES)

    (line,) = lines(output)
    assert line["event"] == "note"
    assert line["left_out_bytes"] > audit.MAX_LINE_BYTES


async def test_a_later_run_appends(output: OutputDirectory) -> None:
    for number in (1, 2):
        async with writing(output) as log:
            log.record("start", number=number)

    assert [line["number"] for line in lines(output)] == [1, 2]


async def test_notes_from_threads_are_written_while_it_runs(output: OutputDirectory) -> None:
    noting = Noting(output.fd)
    async with writing(output, log=noting):
        await asyncio.to_thread(noting.record, "delete", file="aod_1", bytes=2, reason="age")
        await noting.has_written.wait()

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
        cleanup = Retention(output, Limits(1, 1 << 20), log.record)
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
