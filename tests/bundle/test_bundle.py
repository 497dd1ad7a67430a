"""Tests of aod.bundle."""

import csv
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from aod.bundle import COLUMNS, Bundle, OutputDirectory, archive, read_manifest, read_member
from aod.bundle.manifest import Manifest
from aod.host import files
from tests import events
from tests.report import manifests

STAMP = manifests.RAISED
NAME = f"aod_{STAMP}"
MANIFEST = Manifest(1, "collecting")


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
    assert (bundle.path / "raw").stat().st_mode & 0o777 == 0o700
    written = [path for path in bundle.path.rglob("*") if path.is_file()]
    assert [path.stat().st_mode & 0o777 for path in written] == [0o600, 0o600]
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
        os.close(bundle.create_file("stats.txt"))
        (bundle.path / "raw" / "dmesg.txt").symlink_to("/dev/null")

        with pytest.raises(FileExistsError):
            bundle.create_file("dmesg.txt")


def test_events_are_read_back_by_numpy_and_csv(output: OutputDirectory) -> None:
    made = events.make(1, 2, latency_ns=7, comm=b"cat")
    first = manifests.event(flags=("pended", "encrypted"), threshold_ns=None)
    second = replace(first, file="a\udc80,b")

    with Bundle.create(output, STAMP) as bundle:
        bundle.write_events(made, [first, second])
        array = np.load(bundle.path / "events.npy", allow_pickle=False)
        text = (bundle.path / "events.csv").read_text(encoding="utf-8")

    table = list(csv.DictReader(io.StringIO(text)))
    assert np.array_equal(array, made)
    assert array.dtype.fields == made.dtype.fields
    assert tuple(table[0]) == COLUMNS
    assert (table[0]["flags"], table[0]["threshold_ns"]) == ("pended|encrypted", "")
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

    assert read_manifest(bundle.seal(MANIFEST)).files == {}


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

    assert names(output) == [f"{NAME}.tar.zst"]


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
