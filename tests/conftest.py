"""What all tests share: a loop that nothing of aod may block, a config, actions to script."""

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from inspect import iscoroutinefunction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from blockbuster import BlockBuster, blockbuster_ctx

from aod import actions, smb
from aod.actions.action import Context, Result
from aod.actions.output import Output
from aod.bundle import OutputDirectory
from aod.config import Config
from aod.detectors.anomaly import Anomaly, AnomalyType
from aod.host import threads
from aod.smb import module
from aod.smb.module import Module
from tests.events import SECOND, make
from tests.plain import manifest_in

os.umask(0o022)  # a config that is written with another one may be refused

if TYPE_CHECKING:
    from tests.fakes import FakeTracer
    from tests.sharing import OneGuest

Collect = Callable[[Context, Output], Awaitable[Result]]
Notes = Callable[[], list[str]]


@pytest.hookimpl(optionalhook=True)  # xdist may be absent
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> "OneGuest":
    """Keep the tests of the lab together."""
    from tests.sharing import OneGuest

    return OneGuest(config, log)


@pytest.fixture(autouse=True, scope="session")
def tables() -> None:
    """The tables that the service reads at its start are read, whichever test comes first."""
    smb.statuses()


@pytest.fixture(autouse=True)
def no_blocking_call() -> Iterator[BlockBuster]:
    """Fail the test in which code of aod blocks the loop."""
    with blockbuster_ctx("aod") as blockbuster:
        yield blockbuster


@pytest.fixture(autouse=True)
def children_by_pidfd(request: pytest.FixtureRequest) -> None:
    """On 3.11 children are watched by pidfd, as the service does it."""
    if sys.version_info < (3, 12) and iscoroutinefunction(request.function):
        request.getfixturevalue("pidfd_watcher")


@pytest.fixture
async def pidfd_watcher() -> None:
    watcher = asyncio.PidfdChildWatcher()
    watcher.attach_loop(asyncio.get_running_loop())
    asyncio.set_child_watcher(watcher)


@pytest.fixture(autouse=True)
def own_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the state and the socket of a service of this machine."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "runtime"))


@pytest.fixture
def output(tmp_path: Path) -> Iterator[OutputDirectory]:
    with OutputDirectory.open(tmp_path / "aod") as opened:
        yield opened


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Notes]:
    """What the service manager was told, received on a real socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))

        def received() -> list[str]:
            states: list[str] = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    states.append(listener.recv(4096).decode())
            return states

        yield received


@pytest.fixture
async def tracer(monkeypatch: pytest.MonkeyPatch) -> "FakeTracer":
    """A tracer that is made up; cifs seems to be loaded."""
    from tests.fakes import FakeTracer

    monkeypatch.setattr(module, "current", lambda: Module(identity=1, users=None))
    return FakeTracer()


@pytest.fixture
def waiting_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that waits for the open request of FakeTracer, in a /proc of our making."""
    folder = tmp_path / "proc/7/task/8"
    folder.mkdir(parents=True)
    (folder / "status").write_text("State:\tD (disk sleep)\n")
    (folder / "stack").write_text("[<0>] wait_for_response+0x9f/0x110 [cifs]\n")
    monkeypatch.setattr(
        threads, "waiting_for", partial(threads.waiting_for, proc=tmp_path / "proc")
    )


class Scripted:
    """An action that does what the test says."""

    def __init__(self, name: str, collect: Collect) -> None:
        self.name = name
        self.file_name = f"{name}.txt"
        self.keeps_packets = name == "tcpdump"
        self.collect = collect


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Collect]:
    """What the action of a name does; one that is not in it writes a word."""
    scripts: dict[str, Collect] = {}

    def create(name: str) -> Scripted:
        return Scripted(name, scripts.get(name, writes))

    monkeypatch.setattr(actions, "create", create)
    return scripts


class Logged(logging.Handler):
    """What aod logs, and a way to wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self._loop.call_soon_threadsafe(self._changed.set)

    def count(self, text: str) -> int:
        return sum(text in line for line in self.lines)

    async def until(self, text: str, times: int = 1) -> None:
        async with asyncio.timeout(20):
            while self.count(text) < times:
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
async def logged(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Logged]:
    listener, logger = Logged(), logging.getLogger("aod")
    caplog.set_level(logging.DEBUG, "aod")
    logger.addHandler(listener)
    yield listener
    logger.removeHandler(listener)


async def writes(context: Context, output: Output) -> Result:
    await output.write(b"content")
    return Result()


def make_config(path: Path, **keys: Any) -> Config:
    """Return a config of two anomalies, latency and error, without any waiting."""
    anomalies = {
        "latency": {"type": "Latency", "acceptable_count": 0, "actions": ["dmesg", "stats"]},
        "error": {"type": "Error", "acceptable_count": 0, "actions": ["stats", "mounts"]},
    }
    plain: dict[str, Any] = {
        "aod_output_dir": str(path),
        "min_free_mb": 0,
        "guardian": {"anomalies": anomalies},
        "watcher": {"actions": ["dmesg", "stats", "mounts"], "post_trigger_sec": 0},
    }
    return Config(**plain | keys)


def make_anomaly(name: str = "latency", at_ns: int = SECOND, *, emergency: bool = False) -> Anomaly:
    """Return an anomaly of one event, raised at a monotonic time that is also its stamp."""
    kind = AnomalyType(name) if name in ("latency", "error", "manual") else AnomalyType.ERROR
    events = make(at_ns, latency_ns=300_000_000)
    return Anomaly(kind, name, at_ns, at_ns, emergency, count=1, events=events)


async def manifest_of(path: Path) -> dict[str, Any]:
    return await asyncio.to_thread(manifest_in, path)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
