"""The socket for real: who is answered, who is turned away, and what nobody can break."""

import asyncio
import contextlib
import json
import logging
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aod.control import Control, Options, Route, find, protocol, server
from aod.control import client as client_module
from aod.control.answers import StatusAnswer
from aod.control.listener import LOCK, Listener
from aod.control.protocol import MAX_REQUEST_BYTES, SOCKET, VERSION, Answer
from aod.errors import ServiceError
from tests import ROOT
from tests.conftest import Logged, names_in

A = TypeVar("A", bound=Answer)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="another user takes root")


STATUS = StatusAnswer(os.getpid(), "/var/log/aod", "abc", "watching", ("audit is off",))


@dataclass(frozen=True, slots=True)
class Echo:
    """Gives back what was said."""

    REQUEST: ClassVar[str] = "echo"

    reason: str = ""


class Refuses(Echo):
    REQUEST = "refuses"


class Breaks(Echo):
    REQUEST = "breaks"


class Ends(Echo):
    REQUEST = "ends"


async def status(options: Options) -> StatusAnswer:
    return STATUS


async def echo(options: Options) -> Echo:
    return Echo(str(options.get("reason", "")))


async def refuses(options: Options) -> Echo:
    raise ServiceError("not today")


async def breaks(options: Options) -> Echo:
    raise ZeroDivisionError("bug")


async def lasts(options: Options) -> Echo:
    await asyncio.Event().wait()
    return Echo()


ROUTES = {
    "status": Route(status),
    "echo": Route(echo),
    "refuses": Route(refuses),
    "breaks": Route(breaks),
    "lasts": Route(lasts),
    "ends": Route(lasts, deadline_s=0.05),
}


@asynccontextmanager
async def listening(directory: Path, routes: Mapping[str, Route] = ROUTES) -> AsyncIterator[Logged]:
    """A control that answers."""
    logger, logged = logging.getLogger("aod.control.server"), Logged()
    logger.setLevel(logging.DEBUG)
    logger.addHandler(logged)
    try:
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            running = group.create_task(Control(directory, routes).run())
            await logged.until("listening")
            yield logged
            running.cancel()
    finally:
        logger.removeHandler(logged)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def set_mode(path: Path, bits: int) -> None:
    path.chmod(bits)


def connected(directory: Path) -> socket.socket:
    """Connect as a client would that is not ours."""
    fd = os.open(directory, os.O_RDONLY)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # With a timeout of Python's a full backlog would be an error at once.
        connection.connect(f"/proc/self/fd/{fd}/{SOCKET}")
        connection.settimeout(20)
    except BaseException:
        connection.close()
        raise
    finally:
        os.close(fd)
    return connection


def leave(connection: socket.socket) -> None:
    """Say that nothing will come, and wait for the other end to leave."""
    with connection:
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""


def say(directory: Path, line: bytes) -> list[dict[str, Any]]:
    """Send bytes and return every line of the answer."""
    with connected(directory) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(line)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while more := connection.recv(1 << 16):
                received += more
    return [json.loads(each) for each in received.splitlines()]


async def asked(directory: Path, wanted: type[A], **options: str) -> A:
    client = await asyncio.to_thread(find, directory)
    assert client
    return await asyncio.to_thread(partial(client.ask, wanted, **options))


async def test_a_request_gets_its_answer(tmp_path: Path) -> None:
    async with listening(tmp_path):
        answer = await asked(tmp_path, Echo, reason="slow")

    assert answer == Echo("slow")


async def test_the_client_knows_what_the_service_says_of_itself(tmp_path: Path) -> None:
    async with listening(tmp_path):
        client = await asyncio.to_thread(find, tmp_path)

    assert client
    assert client.status == STATUS


async def test_directory_and_socket_are_for_the_owner_alone(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    before = os.umask(0)
    try:
        async with listening(directory):
            modes = [mode(directory), mode(directory / SOCKET)]
    finally:
        os.umask(before)

    assert modes == [0o700, 0o600]


async def test_a_directory_that_others_may_enter_is_closed_to_them(tmp_path: Path) -> None:
    set_mode(tmp_path, 0o755)

    async with listening(tmp_path):
        assert mode(tmp_path) == 0o700


async def test_at_the_end_the_socket_is_gone(tmp_path: Path) -> None:
    async with listening(tmp_path):
        assert (tmp_path / SOCKET).is_socket()

    assert names_in(tmp_path) == [LOCK]
    assert await asyncio.to_thread(find, tmp_path) is None


async def test_ended_before_it_listens_it_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    opens = Listener.open

    def slowly(directory: Path) -> Listener:
        begun.set()
        go_on.wait(20)
        return opens(directory)

    monkeypatch.setattr(Listener, "open", slowly)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        running = group.create_task(Control(tmp_path, {}).run())
        await asyncio.to_thread(begun.wait, 20)
        running.cancel()
        go_on.set()
    monkeypatch.undo()

    assert names_in(tmp_path) == [LOCK]
    async with listening(tmp_path):
        assert await asked(tmp_path, Echo) == Echo()


async def test_the_socket_of_a_dead_service_is_replaced(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from aod.control.listener import Listener\n"
        "Listener.open(Path(sys.argv[1])); os._exit(0)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    await asyncio.to_thread(subprocess.run, command, cwd=ROOT, check=True, timeout=60)
    assert (tmp_path / SOCKET).is_socket()
    assert await asyncio.to_thread(find, tmp_path) is None

    async with listening(tmp_path):
        assert await asked(tmp_path, Echo) == Echo()


async def test_a_living_service_is_not_replaced(tmp_path: Path) -> None:
    async with listening(tmp_path):
        with pytest.raises(ServiceError, match="another aod listens"):
            await Control(tmp_path, {}).run()

        assert await asked(tmp_path, Echo) == Echo()


@pytest.mark.parametrize("name", [SOCKET, LOCK])
def test_a_link_in_the_directory_leads_nowhere(tmp_path: Path, name: str) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    directory = tmp_path / "run"
    directory.mkdir()
    (directory / name).symlink_to(target)

    with contextlib.suppress(ServiceError), Listener.open(directory):
        assert (directory / SOCKET).is_socket()
        assert not (directory / SOCKET).is_symlink()

    assert target.read_text() == "precious"


def test_a_directory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "real")

    with pytest.raises(ServiceError, match="cannot listen in"):
        Listener.open(tmp_path / "run")

    assert list((tmp_path / "real").iterdir()) == []


@as_root
def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    os.chown(directory, 65534, 65534)

    with pytest.raises(ServiceError, match="it belongs to uid 65534"):
        Listener.open(directory)


def test_a_failure_leaves_no_descriptor_open(tmp_path: Path) -> None:
    (tmp_path / SOCKET).mkdir()
    before = len(list(Path("/proc/self/fd").iterdir()))

    with pytest.raises(ServiceError, match="cannot listen in"):
        Listener.open(tmp_path)

    assert len(list(Path("/proc/self/fd").iterdir())) == before


async def test_a_long_path_is_no_hindrance(tmp_path: Path) -> None:
    directory = tmp_path / ("x" * 100) / ("y" * 100)
    directory.mkdir(parents=True)

    async with listening(directory):
        assert await asked(directory, Echo) == Echo()


BAD = {
    "nothing": (b"\n", "not a line of JSON"),
    "no JSON": (b"collect\n", "not a line of JSON"),
    "no text": (b"\xff\xfe\n", "not a line of JSON"),
    "too deep": (b"[" * 60_000 + b"\n", "not a line of JSON"),
    "no object": (b"[1]\n", "not a JSON object"),
    "no format": (b'{"request": "echo"}\n', "answers format 1"),
    "another format": (b'{"format": 2, "request": "echo"}\n', "answers format 1"),
    "no name": (b'{"format": 1}\n', "has no name"),
    "a name that is none": (b'{"format": 1, "request": ["echo"]}\n', "has no name"),
    "unknown": (b'{"format": 1, "request": "format c:"}\n', "no request 'format c:' (there are"),
    "too long": (b" " * (MAX_REQUEST_BYTES + 1) + b"{}\n", "at most 65536 bytes"),
    "endless": (b"x" * (1 << 20), "at most 65536 bytes"),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_is_no_request_is_refused_with_a_sentence(
    tmp_path: Path, case: str, logged: Logged
) -> None:
    sent, reason = BAD[case]

    async with listening(tmp_path):
        (answer,) = await asyncio.to_thread(say, tmp_path, sent)

    assert (answer["format"], answer["state"]) == (1, "refused")
    assert reason in answer["error"]
    assert logged.count("request failed") == 0


async def test_a_request_without_its_end_is_refused(tmp_path: Path) -> None:
    def half() -> bytes:
        with connected(tmp_path) as connection:
            connection.sendall(b'{"format": 1, "req')
            connection.shutdown(socket.SHUT_WR)
            return connection.recv(1 << 16)

    async with listening(tmp_path):
        assert b"a request ends with its line" in await asyncio.to_thread(half)


async def test_a_refusal_is_told_and_no_failure(tmp_path: Path, logged: Logged) -> None:
    async with listening(tmp_path):
        with pytest.raises(ServiceError, match="the running service refuses: not today"):
            await asked(tmp_path, Refuses)

    assert logged.count("request failed") == 0


async def test_a_failure_is_logged_and_ends_only_its_request(
    tmp_path: Path, logged: Logged
) -> None:
    async with listening(tmp_path):
        with pytest.raises(ServiceError, match=r"ZeroDivisionError: bug \(see the service's log"):
            await asked(tmp_path, Breaks)
        assert await asked(tmp_path, Echo) == Echo()

    assert logged.count("request failed name=breaks") == 1


async def test_a_request_has_a_deadline(tmp_path: Path) -> None:
    async with listening(tmp_path):
        with pytest.raises(ServiceError, match=r"no answer within 0\.05 s"):
            await asked(tmp_path, Ends)


async def test_who_waits_hears_that_it_is_worked_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "WORKING_S", 0.01)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(options: Options) -> Echo:
        begun.set()
        await go_on.wait()
        return Echo("late")

    async with listening(tmp_path, {**ROUTES, "slow": Route(slow)}), asyncio.TaskGroup() as group:
        asking = group.create_task(
            asyncio.to_thread(say, tmp_path, protocol.request_line("slow", {}))
        )
        await begun.wait()
        asyncio.get_running_loop().call_later(0.1, go_on.set)

    *working, last = asking.result()
    assert {each["state"] for each in working} == {"working"}
    assert last["answer"] == {"reason": "late"}


async def test_who_leaves_takes_the_work_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "WORKING_S", 0.01)
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def work(options: Options) -> Echo:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return Echo()

    async with listening(tmp_path, {"work": Route(work)}):
        connection = await asyncio.to_thread(connected, tmp_path)
        with connection:
            await asyncio.to_thread(connection.sendall, protocol.request_line("work", {}))
            await begun.wait()
        await cancelled.wait()


async def test_a_client_that_says_nothing_is_told_and_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "REQUEST_S", 0.05)

    async with listening(tmp_path):
        (answer,) = await asyncio.to_thread(say, tmp_path, b"")

    assert "no request came within 0.05 s" in answer["error"]


async def test_a_client_that_does_not_read_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: Logged
) -> None:
    monkeypatch.setattr(server, "SLOW_S", 0.05)

    async def large(options: Options) -> Echo:
        return Echo("x" * (4 << 20))

    async with listening(tmp_path, {**ROUTES, "large": Route(large)}):
        with await asyncio.to_thread(connected, tmp_path) as connection:
            await asyncio.to_thread(connection.sendall, protocol.request_line("large", {}))
            await logged.until("cut off")
        assert await asked(tmp_path, Echo) == Echo()


async def test_a_large_answer_comes_whole(tmp_path: Path) -> None:
    async def large(options: Options) -> Echo:
        return Echo("x" * (4 << 20))

    async with listening(tmp_path, {**ROUTES, "echo": Route(large)}):
        assert len((await asked(tmp_path, Echo)).reason) == 4 << 20


async def test_the_ninth_is_turned_away_and_served_once_there_is_room(tmp_path: Path) -> None:
    async with listening(tmp_path):
        silent = [await asyncio.to_thread(connected, tmp_path) for _ in range(8)]
        with pytest.raises(ServiceError, match="8 others are asking"):
            await asyncio.to_thread(find, tmp_path)
        for connection in silent:
            await asyncio.to_thread(leave, connection)

        assert await asked(tmp_path, Echo) == Echo()


async def test_of_100_at_once_each_is_answered_or_told_why_not(tmp_path: Path) -> None:
    line = protocol.request_line("echo", {"x": 1})

    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(100) as clients:
        async with listening(tmp_path):
            asking = [loop.run_in_executor(clients, say, tmp_path, line) for _ in range(100)]
            answers = [await each for each in asking]

    assert {len(lines) for lines in answers} == {1}
    states = [lines[0]["state"] for lines in answers]
    assert states.count("done") >= 8
    refused = [lines[0] for lines in answers if lines[0]["state"] == "refused"]
    assert all("others are asking" in each["error"] for each in refused)


@as_root
async def test_another_user_is_not_answered(tmp_path: Path) -> None:
    code = (
        "import socket; s = socket.socket(socket.AF_UNIX)\n"
        "import sys; s.connect(f'/proc/self/fd/{sys.argv[1]}/aod.sock')\n"
        's.sendall(b\'{"format": 1, "request": "echo"}\\n\'); print(s.recv(4096).decode())'
    )

    def ask_as_nobody() -> str:
        fd = os.open(tmp_path, os.O_RDONLY)
        command = [
            "setpriv",
            "--reuid",
            "65534",
            "--clear-groups",
            "/usr/bin/python3",
            "-c",
            code,
            str(fd),
        ]
        try:
            done = subprocess.run(
                command, pass_fds=[fd], capture_output=True, text=True, timeout=60
            )
        finally:
            os.close(fd)
        return done.stdout + done.stderr

    async with listening(tmp_path):
        denied = await asyncio.to_thread(ask_as_nobody)
        set_mode(tmp_path, 0o711)  # as if somebody had opened what aod closes
        set_mode(tmp_path / SOCKET, 0o666)
        answered = await asyncio.to_thread(ask_as_nobody)

    assert "PermissionError" in denied
    assert json.loads(answered)["error"] == "user 65534 may not ask (run as root)"


@as_root
def test_an_ordinary_user_is_told_to_be_root(tmp_path: Path) -> None:
    set_mode(tmp_path, 0o700)

    def look_as_nobody() -> None:
        os.seteuid(65534)
        try:
            find(tmp_path)
        finally:
            os.seteuid(0)

    with pytest.raises(ServiceError, match=r"permission denied in .* \(run as root\)"):
        look_as_nobody()


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.write_text("")])
def test_where_no_service_is_none_is_found(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    make(tmp_path / "run")

    assert find(tmp_path / "run") is None


def done(answer: dict[str, Any]) -> bytes:
    """Return an answer of this version of aod, whatever is in it."""
    told = {"format": 1, "state": "done", "version": VERSION, "answer": answer}
    return json.dumps(told).encode() + b"\n"


ANSWERS = {
    "another format": (b'{"format": 2, "version": "9.9"}\n', "the running service is aod 9.9"),
    "junk": (b"hello\n", "not a line of JSON"),
    "nothing": (b"", "ended before it had answered"),
    "half a line": (b'{"format": 1, "state": "do', "not a line of JSON"),
    "only working": (b'{"format": 1, "state": "working"}\n', "ended before it had answered"),
    "no answer": (b'{"format": 1, "state": "done"}\n', "refuses: no reason given"),
    "an answer of a later one": (
        b'{"format": 1, "state": "done", "version": "9.9", "answer": {"pid": 7}}\n',
        "the running service is aod 9.9, and this is aod ",
    ),
    "an answer that is none": (
        done(asdict(STATUS) | {"pid": "seven"}),
        "the service's answer to 'status' cannot be read: pid: Input should be a valid integer",
    ),
    "an answer that is too short": (
        done({"pid": 7}),
        "the service's answer to 'status' cannot be read: output: Field required",
    ),
    "one with more than is known": (
        done(asdict(STATUS) | {"mood": "good"}),
        "found",
    ),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_a_service_of_another_make_is_told(tmp_path: Path, case: str) -> None:
    answer, reason = ANSWERS[case]

    with Listener.open(tmp_path) as listener, ThreadPoolExecutor(1) as client:
        listener.socket.settimeout(20)
        asking = client.submit(outcome, tmp_path)
        connection, _ = listener.socket.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(answer)

    assert reason in asking.result()


def outcome(directory: Path) -> str:
    try:
        find(directory)
    except ServiceError as error:
        return str(error)
    return "found"


def test_a_service_that_falls_silent_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "PATIENCE_S", 0.05)

    with Listener.open(tmp_path):
        assert "does not answer within 0.05 s" in outcome(tmp_path)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sent=st.one_of(
        st.binary(max_size=300),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=8), inner),
        ).map(lambda value: json.dumps(value).encode()),
        st.dictionaries(
            st.sampled_from(["format", "request", "reason", "x"]),
            st.sampled_from([1, 2, "echo", "status", "nothing", None, [], {}]),
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_whatever_is_sent_each_line_gets_one_answer_and_no_failure(
    tmp_path: Path, sent: bytes
) -> None:
    async def exchange() -> list[dict[str, Any]]:
        async with listening(tmp_path):
            answers = await asyncio.to_thread(say, tmp_path, sent.replace(b"\n", b"") + b"\n")
            assert await asked(tmp_path, Echo) == Echo()
            return answers

    (answer,) = asyncio.run(exchange())

    assert answer["format"] == 1
    assert (answer["state"] == "done") or answer["error"]
    assert "see the service's log" not in answer.get("error", "")
