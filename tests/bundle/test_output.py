"""Tests of aod.output."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from aod.bundle.output import Entry, OutputDirectory
from aod.errors import HostError
from aod.host.files import names
from tests.disk import held_shut, remount, small_disk

STAMP = 1763806988_123456789
NAME = f"aod_{STAMP}"


@pytest.fixture
def output(tmp_path: Path) -> Iterator[OutputDirectory]:
    with OutputDirectory.open(tmp_path / "aod") as opened:
        yield opened


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_missing_directory_is_made_with_its_parents_for_the_owner_alone(
    tmp_path: Path, umask: int
) -> None:
    before = os.umask(umask)
    try:
        OutputDirectory.open(tmp_path / "new" / "aod").close()
    finally:
        os.umask(before)

    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "new" / "aod").stat().st_mode & 0o777 == 0o700


def test_a_link_is_refused_as_the_output_directory(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)

    with pytest.raises(HostError, match="it is a link"):
        OutputDirectory.open(tmp_path / "link")


def test_a_file_is_refused_as_the_output_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(HostError, match="set aod_output_dir to a directory"):
        OutputDirectory.open(tmp_path / "file")


def test_a_reader_does_not_make_the_directory(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="there is none"):
        OutputDirectory.open(tmp_path / "missing", create=False)

    assert not (tmp_path / "missing").exists()


def test_entries_are_sealed_files_and_directories_with_their_size(output: OutputDirectory) -> None:
    (output.path / NAME).mkdir()
    (output.path / NAME / "dmesg.txt").write_bytes(b"x" * 10)
    (output.path / f"aod_{STAMP - 1}.tar.zst").write_bytes(b"y" * 7)

    assert output.entries() == [
        Entry(f"aod_{STAMP - 1}.tar.zst", STAMP - 1, True, 7),
        Entry(NAME, STAMP, False, 10),
    ]


@pytest.mark.parametrize(
    "name",
    ["aod_1", f"{NAME}.tar", f"{NAME}.tar.zst.tmp", f"x{NAME}.tar.zst", f"{NAME}.tar.zst\n"],
)
def test_a_file_of_another_name_is_not_ours(output: OutputDirectory, name: str) -> None:
    (output.path / name).write_bytes(b"x")

    assert output.entries() == []


def test_links_and_wrong_types_are_not_ours(output: OutputDirectory, tmp_path: Path) -> None:
    (output.path / f"{NAME}.tar.zst").mkdir()
    (output.path / f"aod_{STAMP + 1}").write_bytes(b"x")
    (output.path / f"aod_{STAMP + 2}").symlink_to(tmp_path)
    (output.path / f"aod_{STAMP + 3}.tar.zst").symlink_to("/etc/passwd")

    assert output.entries() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_bundle_of_another_user_is_not_ours(output: OutputDirectory) -> None:
    sealed = output.path / f"{NAME}.tar.zst"
    sealed.write_bytes(b"x")
    os.chown(sealed, 1234, 1234)

    assert output.entries() == []


def test_a_link_inside_a_directory_is_not_followed_by_removal(
    output: OutputDirectory, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    (output.path / NAME).mkdir()
    (output.path / NAME / "link").symlink_to(kept)

    output.remove(NAME)

    assert not (output.path / NAME).exists()
    assert (kept / "file").exists()


def test_a_second_claim_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    first = OutputDirectory.open(tmp_path)
    first.lock()

    with OutputDirectory.open(tmp_path) as second:
        with pytest.raises(HostError, match="another aod writes to it"):
            second.lock()
        first.close()
        second.lock()


def test_free_bytes_are_those_of_its_filesystem(output: OutputDirectory) -> None:
    status = os.statvfs(output.path)

    assert 0 < output.free_bytes() <= status.f_blocks * status.f_frsize


def test_a_directory_that_others_can_write_is_read_and_not_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o770)

    OutputDirectory.open(tmp_path, create=False).close()
    with pytest.raises(HostError, match=r"cannot use .* others can write to it"):
        OutputDirectory.open(tmp_path)


def test_a_directory_at_its_path_is_kept(output: OutputDirectory) -> None:
    assert not output.follow()


@pytest.mark.parametrize("was", ["removed", "replaced"])
def test_a_directory_that_is_gone_is_followed_with_its_claim(
    output: OutputDirectory, caplog: pytest.LogCaptureFixture, was: str
) -> None:
    output.lock()
    fd = output.fd
    output.path.rename(output.path.with_name("elsewhere"))
    if was == "replaced":
        output.path.mkdir(mode=0o700)

    assert output.follow()

    assert not output.follow()
    assert output.fd == fd
    assert os.path.samestat(os.fstat(fd), output.path.stat())
    assert not os.get_inheritable(fd)
    assert output.path.stat().st_mode & 0o777 == 0o700
    assert f"output directory was {was}" in caplog.text
    with (
        OutputDirectory.open(output.path) as other,
        pytest.raises(HostError, match="another aod writes to it"),
    ):
        other.lock()


def test_the_claim_of_a_directory_that_is_gone_ends(output: OutputDirectory) -> None:
    output.lock()
    elsewhere = output.path.rename(output.path.with_name("elsewhere"))
    output.follow()

    with OutputDirectory.open(elsewhere) as other:
        other.lock()


def test_a_directory_that_another_aod_has_claimed_is_not_followed(output: OutputDirectory) -> None:
    output.lock()
    output.path.rename(output.path.with_name("elsewhere"))

    with OutputDirectory.open(output.path) as other:
        other.lock()
        with pytest.raises(BlockingIOError, match="another aod writes to it"):
            output.follow()

    assert output.follow()


def test_a_link_in_its_place_is_not_followed(output: OutputDirectory, tmp_path: Path) -> None:
    elsewhere = output.path.rename(tmp_path / "elsewhere")
    output.path.symlink_to(elsewhere)

    with pytest.raises(OSError, match="it is a link"):
        output.follow()

    assert os.path.samestat(os.fstat(output.fd), elsewhere.stat())


def test_a_share_that_is_mounted_over_it_is_not_even_looked_at(
    output: OutputDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mountinfo"
    root = "1 0 8:1 / / rw - ext4 /dev/sda1 rw"
    share = f"2 1 0:50 / {output.path} rw - cifs //nas/media rw"
    mounts.write_text(f"{root}\n{share}\n")
    monkeypatch.setattr("aod.host.mounts.MOUNTINFO", str(mounts))
    monkeypatch.setattr(Path, "lstat", lambda path: pytest.fail(f"looked at {path}"))

    with pytest.raises(OSError, match="lies on the cifs mount"):
        output.follow()


def test_another_filesystem_that_is_mounted_over_it_is_followed(output: OutputDirectory) -> None:
    (output.path / "below").touch()
    command = ["mount", "-t", "tmpfs", "-o", "mode=0700", "tmpfs", str(output.path)]
    if os.geteuid() != 0 or subprocess.run(command, check=False).returncode:
        pytest.skip("only root can mount a filesystem")
    try:
        followed = [output.follow(), names(output.fd)]
    finally:
        subprocess.run(["umount", "-l", str(output.path)], check=True)

    assert followed == [True, []]
    assert output.follow()
    assert names(output.fd) == ["below"]


@pytest.mark.parametrize("was", ["removed", "replaced"])
def test_a_directory_that_only_this_process_cannot_make_anew_is_told_as_cut_off(
    tmp_path: Path, was: str
) -> None:
    with held_shut(tmp_path) as make, OutputDirectory.open(tmp_path / "aod") as output:
        output.path.rmdir()
        if was == "replaced":
            output.path.mkdir(mode=0o700)
        make("ro")

        with pytest.raises(OSError, match="it was removed or replaced") as refused:
            output.follow()

        assert refused.value.errno == errno.EROFS
        assert output.complaint == refused.value.strerror
        assert output.cut_off.done()
        make("rw")
        output.follow()
        assert output.complaint == ""


def test_a_disk_that_is_read_only_for_all_is_told_and_not_as_cut_off(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk, OutputDirectory.open(disk / "aod") as output:
        remount(disk, "ro")

        with pytest.raises(OSError, match="it is mounted read-only"):
            output.follow()

        assert "it is mounted read-only" in output.complaint
        assert not output.cut_off.done()


def test_what_keeps_the_directory_away_is_a_complaint_until_it_is_mended(
    output: OutputDirectory,
) -> None:
    output.path.rmdir()
    output.path.touch()
    with pytest.raises(OSError, match="set aod_output_dir"):
        output.follow()
    complaint = output.complaint
    output.path.unlink()

    output.follow()

    assert complaint.startswith(f"cannot open the output directory {output.path}")
    assert not output.complaint
