"""The output directory: found on a share by its path alone, and looked at only when local."""

import errno
import os
from pathlib import Path

import pytest

from aod.config import outputdir
from aod.host.mounts import Mount, parse

LOCAL = parse("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n")


def mounted(place: Path, fstype: str) -> tuple[Mount, ...]:
    escaped = str(place).replace(" ", "\\040")
    return LOCAL + parse(f"23 22 0:52 / {escaped} rw - {fstype} //n/s rw\n")


@pytest.mark.parametrize("fstype", ["cifs", "smb3", "autofs"])
def test_a_directory_below_a_share_is_refused(tmp_path: Path, fstype: str) -> None:
    share = tmp_path / "a share"

    found = outputdir.problems(share / "aod", mounted(share, fstype))

    assert len(found) == 1
    assert f"{share}/aod lies on the {fstype} mount {share}: " in found[0]


@pytest.mark.parametrize("target", ["{share}/deep", "../{name}/share/deep", "{name2}"])
def test_a_link_into_a_share_is_followed_by_its_text(tmp_path: Path, target: str) -> None:
    share = tmp_path / "share"
    (tmp_path / "second").symlink_to(share)
    text = target.format(share=share, name=tmp_path.name, name2="second")
    (tmp_path / "link").symlink_to(text)

    found = outputdir.problems(tmp_path / "link/aod", mounted(share, "cifs"))

    assert [f"(it leads to {share}" in problem for problem in found] == [True]


def test_nothing_below_a_share_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = tmp_path / "share"
    share.mkdir()
    (share / "link").symlink_to("/tmp")
    touched: list[str] = []

    def look(path: object) -> str:
        touched.append(str(path))
        raise OSError(errno.EINVAL, "not a link")

    monkeypatch.setattr(os, "readlink", look)
    monkeypatch.setattr(os, "lstat", look)

    found = outputdir.problems(share / "link/aod", mounted(share, "cifs"))

    assert len(found) == 1
    assert str(tmp_path) in touched
    assert [path for path in touched if path.startswith(str(share))] == []


def test_links_in_a_circle_are_told(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    found = outputdir.problems(tmp_path / "a/aod", LOCAL)

    assert [problem.startswith(f"cannot follow {tmp_path}/a/aod: ") for problem in found] == [True]


def test_a_writable_directory_that_is_there_or_can_be_made_is_fine(tmp_path: Path) -> None:
    assert outputdir.problems(tmp_path, LOCAL) == []
    assert outputdir.problems(tmp_path / "not/yet", LOCAL) == []
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_no_output_directory(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)

    assert "is a symbolic link" in outputdir.problems(tmp_path / "link", LOCAL)[0]


def test_a_file_is_no_output_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert "is not a directory" in outputdir.problems(tmp_path / "file", LOCAL)[0]
    assert "cannot look at" in outputdir.problems(tmp_path / "file/aod", LOCAL)[0]


def test_a_directory_that_refuses_writing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may write everywhere, so that a mode of 0500 would prove nothing.
    monkeypatch.setattr(os, "access", lambda *_: False)

    assert "permission denied" in outputdir.problems(tmp_path, LOCAL)[0]
    assert f"cannot create {tmp_path}/aod" in outputdir.problems(tmp_path / "aod", LOCAL)[0]


def test_a_directory_that_others_can_write_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o770)

    found = outputdir.problems(tmp_path, LOCAL)

    assert found == [
        f"cannot use {tmp_path}: others can write to it (chmod go-w {tmp_path}, or name another)"
    ]


@pytest.mark.parametrize(
    ("socket", "advice"),
    [
        ("", "(give another directory)"),
        ("/run/systemd/notify", "; systemctl edit aod, [Service], ReadWritePaths={wanted})"),
    ],
)
def test_a_read_only_filesystem_is_told(
    monkeypatch: pytest.MonkeyPatch, socket: str, advice: str
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", socket)
    # /proc/sys and /sys are read-only in a container only: ask the kernel for one that is.
    places = (Path(line.split()[1]) for line in Path("/proc/mounts").read_text().splitlines())
    read_only = [place for place in places if place.is_dir() and is_read_only(place)]
    if not read_only:
        pytest.skip("nothing is mounted read-only on this machine")
    wanted = read_only[0] / "aod-none"

    (problem,) = outputdir.output_dir_problems(wanted)

    assert "mounted read-only" in problem
    assert problem.endswith(advice.format(wanted=wanted))


def is_read_only(place: Path) -> bool:
    return bool(os.statvfs(place).f_flag & os.ST_RDONLY)
