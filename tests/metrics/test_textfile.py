import asyncio
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from aod.metrics import textfile as textfile_module
from aod.metrics.collector import Exposition
from aod.metrics.textfile import Textfile
from tests.conftest import Logged, names_in


class Times:
    """Counts how often the text was asked for, and lets a test wait for it."""

    def __init__(self) -> None:
        self.asked = 0
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    def text(self) -> bytes:
        self.asked += 1
        self._loop.call_soon_threadsafe(self._changed.set)
        return f"asked {self.asked}\n".encode()

    async def until(self, times: int) -> None:
        while self.asked < times:
            self._changed.clear()
            await self._changed.wait()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textfile_module, "INTERVAL_S", 0.01)


@asynccontextmanager
async def writing(path: Path, render: Callable[[], bytes]) -> AsyncIterator[None]:
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        task = group.create_task(Textfile(path, render).run())
        yield
        task.cancel()


async def test_the_file_is_there_while_the_service_runs(tmp_path: Path) -> None:
    path, times = tmp_path / "aod.prom", Times()

    async with writing(path, times.text):
        await times.until(3)
        text, mode = path.read_text(), stat.S_IMODE(path.stat().st_mode)

    assert text.startswith("asked ")
    assert mode == 0o644
    assert names_in(tmp_path) == []


async def test_it_holds_the_metrics(
    tmp_path: Path, logged: Logged, make_exposition: Callable[..., Exposition]
) -> None:
    path, times, exposition = tmp_path / "aod.prom", Times(), make_exposition()

    def render() -> bytes:
        times.text()
        return exposition.render()[0]

    async with writing(path, render):
        await times.until(2)
        assert "aod_smb_open_requests{" in path.read_text()


async def test_a_link_in_its_place_is_replaced_not_followed(tmp_path: Path) -> None:
    path, times = tmp_path / "aod.prom", Times()
    (tmp_path / "victim").write_text("untouched")
    for name in (path.name, f".{path.name}.tmp"):
        (tmp_path / name).symlink_to(tmp_path / "victim")

    async with writing(path, times.text):
        await times.until(2)
        assert not path.is_symlink()

    assert (tmp_path / "victim").read_text() == "untouched"


async def test_a_link_on_the_way_is_refused(tmp_path: Path, logged: Logged) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    async with writing(tmp_path / "link" / "aod.prom", Times().text):
        await logged.until("link is a link or no directory")

    assert names_in(tmp_path / "real") == []


async def test_a_share_is_not_touched(
    tmp_path: Path, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(f"9 8 0:9 / {tmp_path} rw - cifs //nas/share rw\n")
    monkeypatch.setattr("aod.host.mounts.MOUNTINFO", str(mountinfo))

    async with writing(tmp_path / "aod.prom", Times().text):
        await logged.until("lies on the cifs mount")

    assert names_in(tmp_path) == ["mountinfo"]


async def test_a_directory_that_is_not_there_is_told_once_and_tried_again(
    tmp_path: Path, logged: Logged
) -> None:
    times = Times()

    async with writing(tmp_path / "later" / "aod.prom", times.text):
        await times.until(5)
        (tmp_path / "later").mkdir()
        await logged.until("metrics written again")

    assert logged.count("metrics not written") == 1
