"""Directories of our own, and who is kept from leading them elsewhere."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aod.host.directories import (
    RUNTIME,
    STATE,
    RefusedError,
    is_made_at_start,
    open_directory,
    runtime_directory,
    state_directory,
)

OTHER = 1234

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@contextmanager
def opened(path: Path, **options: bool) -> Iterator[int]:
    fd = open_directory(path, **options)
    try:
        yield fd
    finally:
        os.close(fd)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_what_is_missing_is_made_for_the_owner_alone(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with opened(tmp_path / "new/state/aod"):
            pass
    finally:
        os.umask(before)

    made = [tmp_path / name for name in ("new", "new/state", "new/state/aod")]
    assert [mode(path) for path in made] == [0o700] * 3


def test_the_descriptor_is_that_of_the_directory(tmp_path: Path) -> None:
    with opened(tmp_path / "aod") as fd:
        assert os.path.samestat(os.fstat(fd), (tmp_path / "aod").stat())
        assert not os.get_inheritable(fd)


def test_nothing_is_made_when_it_shall_not_be(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), opened(tmp_path / "a/b", create=False):
        pass

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["aod", "/", "/tmp/../aod"])
def test_only_a_plain_absolute_path_is_taken(path: str) -> None:
    with pytest.raises(OSError, match="absolute path"), opened(Path(path)):
        pass


def test_the_directory_itself_must_be_no_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(0o700)
    (tmp_path / "aod").symlink_to("real")

    with pytest.raises(NotADirectoryError), opened(tmp_path / "aod"):
        pass


@pytest.mark.parametrize("target", ["real", "{}/real", "../{.name}/real"])
def test_a_link_of_ours_on_the_way_is_followed(tmp_path: Path, target: str) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(target.format(tmp_path))

    with opened(tmp_path / "link/aod"):
        pass

    assert mode(tmp_path / "real/aod") == 0o700


@as_root
def test_a_link_of_another_user_on_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    os.chown(tmp_path / "link", OTHER, OTHER, follow_symlinks=False)

    with pytest.raises(RefusedError, match=f"link in it is a link of uid {OTHER}"):
        open_directory(tmp_path / "link/aod")

    assert list((tmp_path / "real").iterdir()) == []


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    with pytest.raises(OSError, match="Too many levels"):
        open_directory(tmp_path / "a/aod")


@as_root
def test_a_directory_that_another_user_laid_out_in_tmp_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    (tmp_path / "aod").mkdir(0o700)
    os.chown(tmp_path / "aod", OTHER, OTHER)

    with pytest.raises(RefusedError, match=rf"belongs to uid {OTHER} \(chown 0 "):
        open_directory(tmp_path / "aod", tighten=True)

    assert (tmp_path / "aod").stat().st_uid == OTHER


def test_in_a_directory_that_all_can_write_our_own_is_made(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)

    with opened(tmp_path / "aod"):
        pass

    assert mode(tmp_path / "aod") == 0o700


@pytest.mark.parametrize("bits", [0o720, 0o702, 0o777])
def test_a_directory_that_others_can_write_is_refused(tmp_path: Path, bits: int) -> None:
    (tmp_path / "aod").mkdir()
    (tmp_path / "aod").chmod(bits)

    with pytest.raises(RefusedError, match=r"others can write to it \(chmod go-w "):
        open_directory(tmp_path / "aod")

    assert mode(tmp_path / "aod") == bits


def test_a_directory_that_others_can_read_is_left_so_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "aod").mkdir(0o755)
    (tmp_path / "aod").chmod(0o755)

    with opened(tmp_path / "aod"):
        pass

    assert mode(tmp_path / "aod") == 0o755
    assert "others can list this directory" in caplog.text


@pytest.mark.parametrize("bits", [0o755, 0o777])
def test_what_holds_only_our_own_is_closed_to_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, bits: int
) -> None:
    (tmp_path / "aod").mkdir()
    (tmp_path / "aod").chmod(bits)

    with opened(tmp_path / "aod", tighten=True):
        pass

    assert mode(tmp_path / "aod") == 0o700
    assert caplog.text == ""


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("aod")
    before = len(list(Path("/proc/self/fd").iterdir()))

    with opened(tmp_path / "aod/b"):
        pass
    with pytest.raises(OSError, match="directory"):
        open_directory(tmp_path / "link")

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_systemd_names_the_directories() -> None:
    environ = {"STATE_DIRECTORY": "/srv/state:/srv/more", "RUNTIME_DIRECTORY": "/run/other"}

    assert state_directory(environ) == Path("/srv/state")
    assert runtime_directory(environ) == Path("/run/other")


def test_without_systemd_they_are_the_usual_ones() -> None:
    assert (state_directory({}), runtime_directory({})) == (STATE, RUNTIME)


def test_a_relative_directory_is_not_taken() -> None:
    assert state_directory({"STATE_DIRECTORY": "state"}) == STATE


@pytest.mark.parametrize(
    ("directory", "expected"), [("/var/log/aod", True), ("/srv/aod", True), ("/var/log", False)]
)
def test_systemd_makes_the_logs_directories_at_each_start(directory: str, expected: bool) -> None:
    environ = {"LOGS_DIRECTORY": "/var/log/aod:/srv/aod"}

    assert is_made_at_start(Path(directory), environ) is expected
    assert not is_made_at_start(Path(directory), {})
