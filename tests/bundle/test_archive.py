"""Tests of aod.archive."""

import io
import json
import tarfile
from pathlib import Path

import pytest
import zstandard

from aod.bundle import Bundle, OutputDirectory, archive
from aod.bundle.archive import read_manifest, read_member
from aod.bundle.manifest import Manifest
from aod.errors import BundleError

STAMP = 1763806988_123456789
MANIFEST = Manifest(1, "sealed")


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    with OutputDirectory.open(tmp_path / "aod") as output:
        bundle = Bundle.create(output, STAMP)
        bundle.write("dmesg.txt", b"a line\n" * 1000)
        return bundle.seal(MANIFEST)


def packed(path: Path, *members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> Path:
    """Write an archive that we would not write."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size, member.type = len(data), kind
            tar.addfile(member, io.BytesIO(data))
    path.write_bytes(zstandard.compress(buffer.getvalue()))
    return path


def test_a_member_and_the_manifest_are_read_from_the_sealed_file(sealed: Path) -> None:
    assert read_member(sealed, "dmesg.txt") == b"a line\n" * 1000
    assert read_manifest(sealed).files["dmesg.txt"].bytes == 7000


def test_an_open_directory_is_read_alike(tmp_path: Path) -> None:
    with OutputDirectory.open(tmp_path) as output, Bundle.create(output, STAMP) as bundle:
        bundle.write_manifest(MANIFEST)

        assert read_manifest(bundle.path) == MANIFEST


@pytest.mark.parametrize("name", ["../etc/passwd", "/etc/passwd", "..", "", "a/b", ".hidden"])
def test_a_name_that_leads_elsewhere_is_refused(sealed: Path, name: str) -> None:
    with pytest.raises(BundleError, match="not a plain file name"):
        read_member(sealed, name)


def test_a_link_in_an_open_directory_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "passwd").symlink_to("/etc/passwd")

    with pytest.raises(BundleError, match="cannot read passwd"):
        read_member(tmp_path, "passwd")


def test_a_missing_member_is_named_with_what_to_do(sealed: Path) -> None:
    with pytest.raises(BundleError, match=r"holds no stats.txt \(see its manifest.json"):
        read_member(sealed, "stats.txt")


@pytest.mark.parametrize("cut_bytes", [1, 5, 100])
def test_a_file_that_was_cut_off_is_damaged(sealed: Path, cut_bytes: int) -> None:
    content = sealed.read_bytes()
    sealed.write_bytes(content[: len(content) // 2 - cut_bytes])

    with pytest.raises(BundleError, match="damaged or cut off"):
        read_member(sealed, "dmesg.txt")


def test_an_archive_without_a_manifest_is_damaged(tmp_path: Path) -> None:
    path = packed(tmp_path / "b", ("aod_1/a.txt", b"x"))

    with pytest.raises(BundleError, match="damaged or cut off"):
        read_manifest(path)


def test_a_file_that_is_no_archive_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "bundle").write_bytes(b"not zstd at all")

    with pytest.raises(BundleError, match="damaged"):
        read_manifest(tmp_path / "bundle")


def test_a_member_that_differs_from_its_digest_is_damaged(tmp_path: Path) -> None:
    manifest = json.dumps({"format": 1, "files": {"a.txt": {"bytes": 1, "sha256": "00"}}}).encode()
    path = packed(tmp_path / "b", ("aod_1/manifest.json", manifest), ("aod_1/a.txt", b"x"))

    with pytest.raises(BundleError, match=r"SHA-256 of a\.txt"):
        read_member(path, "a.txt")


@pytest.mark.parametrize("name", ["/aod/manifest.json", "../manifest.json", "a/../b", "flat"])
def test_an_archive_with_unsafe_names_is_refused(tmp_path: Path, name: str) -> None:
    path = packed(tmp_path / "b", (name, b'{"format": 1}'))

    with pytest.raises(BundleError, match=r"cannot read manifest\.json"):
        read_manifest(path)


def test_a_link_in_an_archive_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path / "b", ("aod_1/manifest.json", b""), kind=tarfile.SYMTYPE)

    with pytest.raises(BundleError, match="unexpected member"):
        read_manifest(path)


def test_a_member_over_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_MEMBER_BYTES", 10)
    path = packed(tmp_path / "b", ("aod_1/manifest.json", b'{"format": 1}'))

    with pytest.raises(BundleError, match="13 bytes, more than the 10"):
        read_manifest(path)


@pytest.mark.parametrize(
    "content", [b"[]", b"{}", b'{"format": "x"}', b"{", b"\xff", b"[" * 100_000]
)
def test_a_manifest_of_another_shape_is_no_bundle(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)

    with pytest.raises(BundleError):
        read_manifest(tmp_path)
