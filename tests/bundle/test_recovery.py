"""Tests of aod.bundle.recovery."""

import fcntl
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Semaphore

import pytest

from aod.bundle import Bundle, OutputDirectory, archive, read_manifest, read_member, recovery
from aod.bundle.manifest import MANIFEST as FILE
from aod.bundle.manifest import Manifest
from aod.bundle.recovery import Render
from aod.host import files
from aod.report.summary import render
from tests.disk import clean_of, unrecorded

STAMP = 1763806988_123456789
NAME = f"aod_{STAMP}"
MANIFEST = Manifest(1, "collecting")
WHOLE = Manifest(1, "sealed")


def recover(output: OutputDirectory, render: Render = render) -> list[str]:
    return recovery.recover(output, render, unrecorded, clean_of)


def names(output: OutputDirectory) -> list[str]:
    return sorted(files.names(output.fd))


def test_recovery_on_a_full_disk_leaves_the_leftover_for_later(tiny: OutputDirectory) -> None:
    with Bundle.create(tiny, STAMP) as bundle:
        bundle.write_manifest(MANIFEST)
        bundle.write("random.bin", os.urandom(150_000))

    assert recover(tiny) == []
    assert names(tiny) == [NAME]


def with_manifest(output: OutputDirectory) -> None:
    with Bundle.create(output, STAMP) as bundle:
        bundle.write("dmesg.txt", b"kept")
        bundle.write_manifest(MANIFEST)


def without_manifest(output: OutputDirectory) -> None:
    with Bundle.create(output, STAMP) as bundle:
        bundle.write("dmesg.txt", b"lost")


def with_half_manifest(output: OutputDirectory) -> None:
    without_manifest(output)
    (output.path / NAME / ".manifest.json.tmp").write_bytes(b'{"format"')


def with_half_sealed(output: OutputDirectory) -> None:
    with_manifest(output)
    (output.path / f"{NAME}.tar.zst.tmp").write_bytes(b"half")


def with_sealed_beside_it(output: OutputDirectory) -> None:
    with_manifest(output)
    (output.path / f"{NAME}.tar.zst").write_bytes(b"sealed")


def with_half_removed_directory(output: OutputDirectory) -> None:
    without_manifest(output)
    (output.path / f"{NAME}.tar.zst").write_bytes(b"sealed")


SEALED = [f"{NAME}.tar.zst"]
LEFTOVERS: Mapping[Callable[[OutputDirectory], None], list[str]] = {
    with_manifest: SEALED,
    without_manifest: [],
    with_half_manifest: [],
    with_half_sealed: SEALED,
    with_sealed_beside_it: SEALED,
    with_half_removed_directory: SEALED,
}
"""Where a kill can strike, and what is there after the next start."""


@pytest.mark.parametrize("leave", LEFTOVERS, ids=lambda leave: leave.__name__)
def test_a_leftover_is_brought_to_an_end(
    output: OutputDirectory, leave: Callable[[OutputDirectory], None]
) -> None:
    leave(output)

    done = recover(output)

    assert done
    assert names(output) == LEFTOVERS[leave]
    assert recover(output) == []


def test_a_leftover_is_sealed_as_interrupted_with_a_new_summary(output: OutputDirectory) -> None:
    with_manifest(output)

    recover(output, lambda manifest: f"state {manifest.state}")

    sealed = output.path / SEALED[0]
    assert read_manifest(sealed).state == "interrupted"
    assert read_member(sealed, "summary.txt") == b"state interrupted"
    assert read_member(sealed, "dmesg.txt") == b"kept"


DAMAGED = b"""{"format": 1, "state": "collecting", "anomalies": 5, "trigger": "latency",
"actions": {"dmesg": {"state": "ok", "file": "dmesg.txt"}}, "config": {"redact": true}}"""


def test_of_a_leftover_that_is_damaged_what_is_sound_is_sealed(
    output: OutputDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    with Bundle.create(output, STAMP) as bundle:
        bundle.write(FILE, DAMAGED)

    recover(output)

    sealed = output.path / SEALED[0]
    manifest = read_manifest(sealed)
    summary = read_member(sealed, "summary.txt").decode()
    assert summary.startswith("There is no summary of this bundle: its manifest is none that")
    assert (manifest.state, manifest.trigger, manifest.anomalies) == ("interrupted", "latency", ())
    assert manifest.actions["dmesg"].state == "ok"
    assert "anomalies: Input should be a valid array" in caplog.text


@pytest.mark.parametrize("content", [b"", b"[]", b'{"format"', b'{"format": "1"}', b"[" * 10_000])
def test_what_has_no_manifest_at_all_is_removed(output: OutputDirectory, content: bytes) -> None:
    with Bundle.create(output, STAMP) as bundle:
        bundle.write(FILE, content)

    recover(output)

    assert names(output) == []


def test_a_fault_of_our_own_costs_that_leftover_only_and_is_logged_as_one(
    output: OutputDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    with_manifest(output)
    with Bundle.create(output, STAMP + 1) as bundle:
        bundle.write_manifest(replace(MANIFEST, trigger="latency"))

    def has_a_bug(manifest: Manifest) -> str:
        if not manifest.trigger:
            raise AttributeError("bug")
        return "a summary"

    assert recover(output, has_a_bug) == [f"aod_{STAMP + 1}"]
    assert names(output) == [NAME, f"aod_{STAMP + 1}.tar.zst"]
    assert "AttributeError: bug" in caplog.text


def test_a_sealed_file_is_not_touched_by_recovery(output: OutputDirectory) -> None:
    with_sealed_beside_it(output)

    recover(output)

    assert (output.path / SEALED[0]).read_bytes() == b"sealed"


def test_recovery_leaves_what_another_process_is_collecting(output: OutputDirectory) -> None:
    with Bundle.create(output, STAMP) as bundle, OutputDirectory.open(output.path) as later:
        bundle.write_manifest(MANIFEST)

        assert recover(later) == []
    assert names(output) == [NAME]


def test_recovery_leaves_what_is_open_and_what_is_not_ours(output: OutputDirectory) -> None:
    others = ["notes.txt", "aod_1", "aod_1.tar.zst.tmp", "x.tmp"]
    for name in others:
        (output.path / name).touch()

    with Bundle.create(output, STAMP):
        assert recover(output) == []

        assert names(output) == sorted([*others, NAME])


def test_a_kill_while_sealing_is_made_good_at_the_next_start(
    output: OutputDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_manifest(output)
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", _killed)
        with pytest.raises(KeyboardInterrupt):
            recover(output)

    assert recover(output) == [NAME]
    assert names(output) == SEALED


def test_a_leftover_that_cannot_be_read_stays_and_does_not_end_the_start(
    output: OutputDirectory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with_manifest(output)
    monkeypatch.setattr(archive, "read_file", _unreadable)

    assert recover(output) == []
    assert names(output) == [NAME]
    assert "leftover stays" in caplog.text


def test_what_the_disk_had_no_room_to_seal_is_sealed_once_it_has(
    tiny: OutputDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    with Bundle.create(tiny, STAMP) as bundle:
        bundle.write_manifest(MANIFEST)
        bundle.write("random.bin", os.urandom(100_000))
    (tiny.path / "ballast").write_bytes(bytes(tiny.free_bytes() - 50_000))

    runs = [recover(tiny), recover(tiny)]
    (tiny.path / "ballast").unlink()

    assert runs == [[], []]
    assert caplog.text.count("leftover stays") == 1
    assert recover(tiny) == [NAME]
    assert names(tiny) == SEALED
    assert tiny.troubled == set()


def test_what_was_collected_as_a_whole_is_no_interrupted_bundle(output: OutputDirectory) -> None:
    bundle = Bundle.create(output, STAMP)
    (output.path / SEALED[0]).mkdir()
    with pytest.raises(IsADirectoryError):
        bundle.seal(WHOLE)
    (output.path / SEALED[0]).rmdir()

    recover(output, lambda manifest: "a new summary")

    assert read_manifest(output.path / SEALED[0]).state == "sealed"
    assert names(output) == SEALED


def test_a_directory_that_another_process_seals_meanwhile_is_not_sealed_again(
    output: OutputDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OutputDirectory.open(output.path) as other:
        bundle = Bundle.create(other, STAMP)
        bundle.write_manifest(MANIFEST)
        listed = output.entries()
        bundle.seal(WHOLE)
    monkeypatch.setattr(output, "entries", lambda: listed)

    assert recover(output) == []
    assert read_manifest(output.path / SEALED[0]).state == "sealed"


def test_a_half_sealed_file_of_an_open_bundle_is_left_alone(output: OutputDirectory) -> None:
    with OutputDirectory.open(output.path) as other, Bundle.create(other, STAMP):
        (output.path / f"{NAME}.tar.zst.tmp").write_bytes(b"half")

        assert recover(output) == []

    assert recover(output) == [f"{NAME}.tar.zst.tmp", NAME]


@pytest.mark.parametrize("taken", ["removed", "held"])
def test_a_directory_that_is_taken_for_a_leftover_before_its_lock_is_made_anew(
    output: OutputDirectory, monkeypatch: pytest.MonkeyPatch, taken: str
) -> None:
    mkdir, holders = os.mkdir, list[int]()

    def taken_at_once(name: str, mode: int, *, dir_fd: int) -> None:
        mkdir(name, mode, dir_fd=dir_fd)
        if name == NAME and taken == "removed":
            os.rmdir(name, dir_fd=dir_fd)
        elif name == NAME:
            holders.append(os.open(name, os.O_RDONLY, dir_fd=dir_fd))
            fcntl.flock(holders[0], fcntl.LOCK_EX)

    monkeypatch.setattr(os, "mkdir", taken_at_once)
    with Bundle.create(output, STAMP) as bundle:
        assert bundle.timestamp == STAMP + 1
        assert output.open_names == {bundle.name}
    for fd in holders:
        os.close(fd)


def test_a_clean_up_that_never_rests_takes_nothing_from_another_process(
    output: OutputDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, mkdir, rounds = threading.Event(), os.mkdir, Semaphore(0)

    def tidies() -> None:
        while not ended.is_set():
            recover(output)
            output.others_bytes()
            rounds.release()

    def mkdir_and_a_clean_up(name: str, mode: int, *, dir_fd: int) -> None:
        mkdir(name, mode, dir_fd=dir_fd)
        if int(name[-1]) % 2:  # between its mkdir and its lock, every other directory is taken
            while rounds.acquire(blocking=False):
                pass
            assert rounds.acquire(timeout=10)
            assert rounds.acquire(timeout=10)

    monkeypatch.setattr(os, "mkdir", mkdir_and_a_clean_up)
    with OutputDirectory.open(output.path) as other, ThreadPoolExecutor(1) as pool:
        tidying = pool.submit(tidies)
        try:
            for _ in range(10):
                bundle = Bundle.create(other, STAMP)
                bundle.write("dmesg.txt", b"kept")
                bundle.write_manifest(MANIFEST)
                bundle.seal(WHOLE)
        finally:
            ended.set()
        tidying.result()
    recover(output)

    sealed = [read_manifest(output.path / name) for name in names(output)]
    assert [manifest.state for manifest in sealed] == ["sealed"] * 10
    assert all(manifest.files.keys() == {"dmesg.txt"} for manifest in sealed)


def _killed(*arguments: object, **options: object) -> None:
    raise KeyboardInterrupt


def _unreadable(*arguments: object) -> bytes:
    raise OSError(5, "Input/output error")
