"""Where paths lead, and that no share is touched to find out."""

import os
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

import pytest

from aod.host.mounts import parse
from aod.host.paths import MAX_LINKS, open_through, resolved, share_problems

LOCAL = parse("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n")


def refuse(name: str, fd: int) -> PurePosixPath | None:
    raise PermissionError(f"{name} is no directory")


def test_a_local_mount_below_a_share_is_allowed(tmp_path: Path) -> None:
    share = parse(f"23 22 0:52 / {tmp_path} rw - cifs //n/s rw\n")
    mounts = LOCAL + share + parse(f"24 23 8:2 / {tmp_path}/local rw - ext4 /dev/sdb rw\n")

    assert share_problems(tmp_path / "local/aod", mounts) == []
    assert share_problems(tmp_path / "locals", mounts) != []


@pytest.mark.parametrize("target", ["real", "../{}/real", "{root}/real", "./x/../real"])
def test_a_link_is_followed_as_the_kernel_does(tmp_path: Path, target: str) -> None:
    for name in ("real", "x"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(target.format(tmp_path.name, root=tmp_path))

    assert resolved(tmp_path / "link/below", LOCAL) == PurePosixPath(tmp_path / "real/below")


def test_as_many_links_are_followed_as_by_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    for number in range(MAX_LINKS + 1):
        (tmp_path / str(number + 1)).symlink_to(str(number))

    assert resolved(tmp_path / str(MAX_LINKS), LOCAL) == PurePosixPath(tmp_path / "0")
    for follow in (os.stat, lambda path: resolved(path, LOCAL)):
        with pytest.raises(OSError, match="Too many levels"):
            follow(tmp_path / str(MAX_LINKS + 1))


def test_a_path_is_opened_to_its_end_and_nothing_stays_open(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    before = len(list(Path("/proc/self/fd").iterdir()))

    with ExitStack() as opened:
        fd = open_through(tmp_path / "a/b", refuse, opened)
        is_same = os.path.samestat(os.fstat(fd), (tmp_path / "a/b").stat())

    assert is_same
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_is_no_directory_is_for_the_caller_to_judge(tmp_path: Path, kind: str) -> None:
    (tmp_path / "link").symlink_to("/tmp")
    (tmp_path / "file").touch()

    with pytest.raises(PermissionError, match=f"{kind} is no directory"), ExitStack() as opened:
        open_through(tmp_path / kind / "below", refuse, opened, create=True)


def test_what_is_missing_is_made_only_when_it_shall_be(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), ExitStack() as opened:
        open_through(tmp_path / "a/b", refuse, opened)
    assert list(tmp_path.iterdir()) == []

    with ExitStack() as opened:
        open_through(tmp_path / "a/b", refuse, opened, create=True)

    assert (tmp_path / "a/b").is_dir()
