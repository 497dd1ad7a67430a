"""Tests of aod.host.mounts."""

from pathlib import Path, PurePosixPath

import pytest

from aod.host.mounts import MOUNTINFO, cifs_mounts, mount_of, parse, read, unescape

TEXT = r"""27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
36 27 0:52 / /mnt/share rw,relatime shared:1 master:2 - cifs //nas/data rw,vers=3.1.1
37 27 0:53 / /mnt/my\040share rw,relatime - smb3 //files.example/team\040a/sub rw,vers=3.0
38 36 0:54 / /mnt/share/scratch rw - tmpfs tmpfs rw
39 27 0:55 / /auto rw - autofs systemd-1 rw
40 39 0:56 / /auto rw - cifs //nas/auto rw
not a mount
"""
MOUNTS = parse(TEXT)


def test_only_the_smb_clients_mounts_are_cifs_mounts() -> None:
    points = [str(mount.mount_point) for mount in cifs_mounts(MOUNTS)]

    assert points == ["/mnt/share", "/mnt/my share", "/auto"]


def test_a_mount_holds_server_share_type_and_device() -> None:
    mount = cifs_mounts(MOUNTS)[1]

    assert mount.mount_point == PurePosixPath("/mnt/my share")
    assert mount.source == "//files.example/team a/sub"
    assert (mount.server, mount.share) == ("files.example", "team a")
    assert (mount.fstype, mount.device) == ("smb3", "0:53")


def test_the_dialect_is_that_of_the_mounts_options() -> None:
    assert [mount.dialect for mount in cifs_mounts(MOUNTS)] == ["3.1.1", "3.0", ""]


def test_a_line_that_is_no_mount_is_left_out() -> None:
    assert len(MOUNTS) == 6


@pytest.mark.parametrize("name", [b"a\xffb", b"a\x0cb", "a\u2028b".encode()])
def test_a_mount_point_of_any_bytes_is_read_whole(tmp_path: Path, name: bytes) -> None:
    (tmp_path / MOUNTINFO).parent.mkdir(parents=True)
    (tmp_path / MOUNTINFO).write_bytes(b"36 27 0:52 / /mnt/%s rw - cifs //nas/data rw\n" % name)

    (mount,) = read(tmp_path)

    assert mount.mount_point.name.encode(errors="surrogateescape") == name
    assert mount.is_cifs


@pytest.mark.parametrize(
    ("escaped", "plain"),
    [(r"a\040b", "a b"), (r"a\011b", "a\tb"), (r"a\134040", r"a\040"), (r"\043", "#")],
)
def test_octal_escapes_are_undone_once(escaped: str, plain: str) -> None:
    assert unescape(escaped) == plain


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("/var/lib/aod", "/dev/vda"),
        ("/mnt/share", "//nas/data"),
        ("/mnt/share/aod", "//nas/data"),
        ("//mnt/share/aod", "//nas/data"),
        ("/mnt/share/../other", "/dev/vda"),
        ("/mnt/shared", "/dev/vda"),
        ("/mnt/share/scratch/aod", "tmpfs"),
        ("/auto/aod", "//nas/auto"),
    ],
)
def test_a_path_lies_on_the_deepest_and_last_mount(path: str, source: str) -> None:
    mount = mount_of(path, MOUNTS)

    assert mount is not None
    assert mount.source == source


def test_without_a_root_a_path_lies_on_no_mount() -> None:
    assert mount_of("/var", cifs_mounts(MOUNTS)) is None


@pytest.mark.parametrize(
    ("mount", "filesystem", "expected"),
    [("ro,relatime", "rw", True), ("ro,relatime", "ro", False), ("rw", "ro", False)],
)
def test_a_mount_that_is_read_only_on_a_filesystem_that_is_not_is_held_shut(
    mount: str, filesystem: str, expected: bool
) -> None:
    (found,) = parse(f"1 0 8:1 / / {mount} - ext4 /dev/sda1 {filesystem},errors=remount-ro")

    assert found.is_held_shut is expected
