"""Tests of aod.bundle."""

import csv
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from aod.bundle import (
    COLUMNS,
    Bundle,
    OutputDirectory,
    archive,
    files,
    fit,
    read_manifest,
    read_member,
    recover,
)
from tests import events
from tests.report import manifests

STAMP = manifests.RAISED
NAME = f"aod_{STAMP}"
MANIFEST = {"format": 1, "state": "collecting"}


@pytest.fixture
def output(tmp_path: Path) -> Iterator[OutputDirectory]:
    with OutputDirectory.open(tmp_path / "aod") as opened:
        yield opened


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[OutputDirectory]:
    """An output directory on a filesystem of 256 KiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small filesystem")
    mount = tmp_path / "tiny"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", str(mount)]
    if subprocess.run(command, check=False).returncode:
        pytest.skip("mount is not allowed here")
    try:
        with OutputDirectory.open(mount) as opened:
            yield opened
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def names(output: OutputDirectory) -> list[str]:
    return sorted(files.names(output.fd))


def test_a_taken_timestamp_moves_on_by_a_nanosecond(output: OutputDirectory) -> None:
    (output.path / NAME).mkdir()
    (output.path / f"aod_{STAMP + 1}.tar.zst").touch()

    with Bundle.create(output, STAMP) as bundle:
        assert bundle.timestamp == STAMP + 2
        assert bundle.path.name == f"aod_{STAMP + 2}"


def test_a_link_in_the_place_of_a_bundle_is_left_alone(
    output: OutputDirectory, tmp_path: Path
) -> None:
    (output.path / NAME).symlink_to(tmp_path)

    with Bundle.create(output, STAMP) as bundle:
        assert bundle.timestamp == STAMP + 1


def test_a_time_before_2001_still_makes_a_name_of_19_digits(output: OutputDirectory) -> None:
    with Bundle.create(output, 42) as bundle:
        assert bundle.name == "aod_0000000000000000042"
        assert [entry.timestamp for entry in output.entries()] == [42]


@pytest.mark.parametrize("umask", [0o000, 0o027, 0o377])
def test_modes_do_not_depend_on_the_umask(output: OutputDirectory, umask: int) -> None:
    before = os.umask(umask)
    try:
        bundle = Bundle.create(output, STAMP)
        os.close(bundle.create_file("dmesg.txt"))
        bundle.write("stats.txt", b"x")
    finally:
        os.umask(before)

    assert bundle.path.stat().st_mode & 0o777 == 0o700
    assert {p.stat().st_mode & 0o777 for p in bundle.path.iterdir()} == {0o600}
    assert bundle.seal(MANIFEST).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "name", ["", "..", "../x", "/etc/x", "a/b", ".hidden", "a\n", "é", "a" * 200]
)
def test_an_unsafe_name_is_refused(output: OutputDirectory, name: str) -> None:
    with Bundle.create(output, STAMP) as bundle:
        with pytest.raises(ValueError, match="not a plain file name"):
            bundle.create_file(name)
        with pytest.raises(ValueError, match="not a plain file name"):
            bundle.write(name, b"")


def test_an_existing_file_or_link_is_not_opened_again(output: OutputDirectory) -> None:
    with Bundle.create(output, STAMP) as bundle:
        (bundle.path / "dmesg.txt").symlink_to("/dev/null")

        with pytest.raises(FileExistsError):
            bundle.create_file("dmesg.txt")


def test_events_are_read_back_by_numpy_and_csv(output: OutputDirectory) -> None:
    made = events.make(1, 2, latency_ns=7, comm=b"cat")
    rows = [manifests.event(flags=["pended", "encrypted"]), manifests.event(file="a\udc80,b")]

    with Bundle.create(output, STAMP) as bundle:
        bundle.write_events(made, rows)
        array = np.load(bundle.path / "events.npy", allow_pickle=False)
        text = (bundle.path / "events.csv").read_text(encoding="utf-8")

    table = list(csv.DictReader(io.StringIO(text)))
    assert np.array_equal(array, made)
    assert array.dtype.fields == made.dtype.fields
    assert set(rows[0]) == set(COLUMNS)
    assert table[0]["flags"] == "pended|encrypted"
    assert table[1]["file"] == r"a\udc80,b"


def test_the_sealed_file_is_alone_and_real_tar_unpacks_it(
    output: OutputDirectory, tmp_path: Path
) -> None:
    if not shutil.which("zstd"):
        pytest.skip("tar --zstd needs the program zstd")
    bundle = Bundle.create(output, STAMP)
    bundle.write("dmesg.txt", b"line\n" * 5000)
    bundle.write("summary.txt", b"all is lost\n")

    sealed = bundle.seal(MANIFEST)
    subprocess.run(["tar", "--zstd", "-xf", str(sealed), "-C", str(tmp_path)], check=True)

    unpacked = tmp_path / NAME
    manifest = json.loads((unpacked / "manifest.json").read_bytes())
    assert names(output) == [sealed.name] == [f"{NAME}.tar.zst"]
    assert set(manifest["files"]) == {"dmesg.txt", "summary.txt"}
    for name, known in manifest["files"].items():
        content = (unpacked / name).read_bytes()
        assert known == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_members_name_no_user_and_the_manifest_comes_first(output: OutputDirectory) -> None:
    bundle = Bundle.create(output, STAMP)
    bundle.write("a.txt", b"a")
    bundle.write("summary.txt", b"s")

    sealed = bundle.seal(MANIFEST)

    with (
        sealed.open("rb") as file,
        zstandard.ZstdDecompressor().stream_reader(file) as stream,
        tarfile.open(fileobj=stream, mode="r|") as tar,
    ):
        members = list(tar)
    ours = [f"{NAME}/{name}" for name in ("manifest.json", "summary.txt", "a.txt")]
    assert [member.name for member in members] == ours
    assert {(m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {(0, 0, "", "", 0o600)}


def test_links_and_hidden_files_are_not_sealed(output: OutputDirectory) -> None:
    bundle = Bundle.create(output, STAMP)
    (bundle.path / "passwd").symlink_to("/etc/passwd")
    (bundle.path / ".stats.txt.tmp").write_bytes(b"half")
    os.mkfifo(bundle.path / "fifo")

    assert read_manifest(bundle.seal(MANIFEST))["files"] == {}


def test_a_file_that_grows_while_it_is_sealed_keeps_its_first_size(
    output: OutputDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Bundle.create(output, STAMP)
    bundle.write("dmesg.txt", b"before")
    pack = archive.pack

    def grown(*arguments: Any) -> None:
        with (bundle.path / "dmesg.txt").open("ab") as file:
            file.write(b" and after")
        pack(*arguments)

    monkeypatch.setattr(archive, "pack", grown)

    assert read_member(bundle.seal(MANIFEST), "dmesg.txt") == b"before"


def test_a_bundle_is_known_as_open_until_it_is_sealed(output: OutputDirectory) -> None:
    bundle = Bundle.create(output, STAMP)
    before = set(output.open_names)

    bundle.seal(MANIFEST)

    assert before == {NAME}
    assert output.open_names == set()


def test_two_bundles_of_one_timestamp_are_both_known_as_open(output: OutputDirectory) -> None:
    with Bundle.create(output, STAMP), Bundle.create(output, STAMP):
        assert output.open_names == {NAME, f"aod_{STAMP + 1}"}


def test_an_old_half_sealed_file_does_not_hinder_sealing(output: OutputDirectory) -> None:
    (output.path / f"{NAME}.tar.zst.tmp").write_bytes(b"half")

    Bundle.create(output, STAMP).seal(MANIFEST)

    assert names(output) == SEALED


def test_a_full_disk_leaves_the_directory_and_no_half_file(tiny: OutputDirectory) -> None:
    bundle = Bundle.create(tiny, STAMP)
    bundle.write_manifest(MANIFEST)
    bundle.write("random.bin", os.urandom(150_000))

    with pytest.raises(OSError, match="No space left"):
        bundle.seal(MANIFEST)

    assert names(tiny) == [NAME]
    assert read_member(tiny.path / NAME, "manifest.json")


def test_a_full_disk_keeps_the_old_version_of_a_file(tiny: OutputDirectory) -> None:
    with Bundle.create(tiny, STAMP) as bundle:
        bundle.write("state.txt", b"old")

        with pytest.raises(OSError, match="No space left"):
            bundle.write("state.txt", os.urandom(400_000))

        assert (bundle.path / "state.txt").read_bytes() == b"old"
        assert files.names(bundle._fd) == ["state.txt"]


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

    recover(output, lambda manifest: f"state {manifest['state']}")

    sealed = output.path / SEALED[0]
    assert read_manifest(sealed)["state"] == "interrupted"
    assert read_member(sealed, "summary.txt") == b"state interrupted"
    assert read_member(sealed, "dmesg.txt") == b"kept"


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


def _killed(*arguments: object, **options: object) -> None:
    raise KeyboardInterrupt


def _unreadable(*arguments: object) -> bytes:
    raise OSError(5, "Input/output error")


CAPS = {"dmesg": 10, "tcpdump": 40, "journalctl": 20, "stats": 10}


@pytest.mark.parametrize(
    ("free_bytes", "kept", "dropped"),
    [
        (180, ["dmesg", "tcpdump", "journalctl", "stats"], []),
        (179, ["dmesg", "journalctl", "stats"], ["tcpdump"]),
        (139, ["dmesg", "stats"], ["tcpdump", "journalctl"]),
        (119, ["dmesg"], ["tcpdump", "journalctl", "stats"]),
        (100, [], ["tcpdump", "journalctl", "stats", "dmesg"]),
        (0, [], ["tcpdump", "journalctl", "stats", "dmesg"]),
    ],
)
def test_the_largest_actions_go_first_when_the_disk_is_short(
    free_bytes: int, kept: list[str], dropped: list[str]
) -> None:
    assert fit(CAPS, free_bytes, reserved_bytes=30, min_free_bytes=70) == (kept, dropped)
