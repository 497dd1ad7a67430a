"""Run commands inside the guest for the driver: one thread per request, over a virtio port.

A message, either way, is one line of JSON with the key `sizes`, then that many blobs of bytes.
A request has `id` and `op`; its answer has the same `id`, and `error` when the op failed.
"""

import itertools
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

_PORT_NAME = "agent"
_JOBS = Path("/run/lab/jobs")
_LOST_CHILD_S = 2.0
_STOP_TIMEOUT_S = 10.0

Fields = dict[str, Any]


class Answer(NamedTuple):
    """Hold what an op gives back."""

    fields: Fields
    blobs: tuple[bytes, ...] = ()


class Port:
    """Read and write messages on a virtio serial port.

    The host's side comes and goes; while nobody is there a read gives nothing.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("r+b", buffering=0)
        self._received = bytearray()
        self._write_lock = threading.Lock()

    def receive(self) -> tuple[Fields, list[bytes]]:
        """Wait for the next message."""
        header: Fields = json.loads(self._line())
        return header, [self._exactly(size) for size in header["sizes"]]

    def send(self, answer: Answer) -> None:
        """Write one message as a whole."""
        sizes = [len(blob) for blob in answer.blobs]
        line = json.dumps({**answer.fields, "sizes": sizes}).encode() + b"\n"
        rest = memoryview(b"".join((line, *answer.blobs)))
        with self._write_lock:
            while rest:
                rest = rest[self._file.write(rest) or 0 :]

    def _line(self) -> bytes:
        while (end := self._received.find(b"\n")) < 0:
            self._more()
        return self._exactly(end + 1)

    def _exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            self._more()
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    def _more(self) -> None:
        chunk = self._file.read(1 << 20)
        if not chunk:
            # Without a host the port is always readable and always empty.
            time.sleep(0.02)
        else:
            self._received += chunk


class Jobs:
    """Keep the children that were started and not yet waited for, by pid."""

    def __init__(self) -> None:
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._serials = itertools.count()

    def start(self, command: str) -> subprocess.Popen[bytes]:
        """Start a shell command in its own session, its output in two files."""
        serial = next(self._serials)
        with (
            (_JOBS / f"new-{serial}.out").open("wb") as out,
            (_JOBS / f"new-{serial}.err").open("wb") as err,
        ):
            child = subprocess.Popen(
                ["bash", "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd="/root",
                start_new_session=True,
            )
        for suffix in ("out", "err"):
            (_JOBS / f"new-{serial}.{suffix}").rename(_JOBS / f"{child.pid}.{suffix}")
        self._running[child.pid] = child
        return child

    def get(self, pid: int) -> subprocess.Popen[bytes]:
        """Return a child that was started here."""
        return self._running[pid]

    def output(self, pid: int) -> tuple[bytes, bytes]:
        """Return what the child wrote to stdout and stderr so far."""
        return (_JOBS / f"{pid}.out").read_bytes(), (_JOBS / f"{pid}.err").read_bytes()

    def forget(self, pid: int) -> None:
        """Drop a child and its output."""
        self._running.pop(pid, None)
        for suffix in ("out", "err"):
            (_JOBS / f"{pid}.{suffix}").unlink(missing_ok=True)


jobs = Jobs()


def run(request: Fields, _: list[bytes]) -> Answer:
    """Run a command to its end; `code` is null when it was killed at its deadline."""
    child = jobs.start(request["command"])
    try:
        code = _wait(child, request["wait_s"])
        if code is None:
            os.killpg(child.pid, signal.SIGKILL)
            # A child in D state does not die: answer without it.
            _wait(child, _LOST_CHILD_S)
        return Answer({"code": code}, jobs.output(child.pid))
    finally:
        jobs.forget(child.pid)


def start(request: Fields, _: list[bytes]) -> Answer:
    """Start a command and leave it running."""
    return Answer({"pid": jobs.start(request["command"]).pid})


def wait(request: Fields, _: list[bytes]) -> Answer:
    """Wait for a started command; `code` is null when it still runs at the deadline."""
    return Answer({"code": _wait(jobs.get(request["pid"]), request["wait_s"])})


def output(request: Fields, _: list[bytes]) -> Answer:
    """Return what a started command wrote so far."""
    return Answer({}, jobs.output(request["pid"]))


def send_signal(request: Fields, _: list[bytes]) -> Answer:
    """Signal the process group of a started command."""
    os.killpg(request["pid"], request["signal"])
    return Answer({})


def read(request: Fields, _: list[bytes]) -> Answer:
    """Return a file's content."""
    return Answer({}, (Path(request["path"]).read_bytes(),))


def write(request: Fields, blobs: list[bytes]) -> Answer:
    """Replace a file's content."""
    Path(request["path"]).write_bytes(blobs[0])
    return Answer({})


def set_clock(request: Fields, _: list[bytes]) -> Answer:
    """Set the wall clock to a time in ns since the epoch."""
    time.clock_settime_ns(time.CLOCK_REALTIME, request["time_ns"])
    return Answer({})


def stop_program(request: Fields, _: list[bytes]) -> Answer:
    """Stop every process of a program and return when all of them stand still."""
    deadline_s = time.monotonic() + _STOP_TIMEOUT_S
    pids = _pids_of(request["program"])
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    while not all(_is_stopped(pid) for pid in pids):
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{request['program']} does not stop")
        time.sleep(0.01)
    return Answer({"pids": pids})


def continue_program(request: Fields, _: list[bytes]) -> Answer:
    """Continue every process of a program."""
    pids = _pids_of(request["program"])
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    return Answer({"pids": pids})


OPS = {
    op.__name__: op
    for op in (
        run,
        start,
        wait,
        output,
        send_signal,
        read,
        write,
        set_clock,
        stop_program,
        continue_program,
    )
}


def _wait(child: subprocess.Popen[bytes], timeout_s: float) -> int | None:
    # Popen.wait polls with growing pauses; a pidfd wakes at once.
    if child.poll() is None:
        try:
            fd = os.pidfd_open(child.pid)
        except ProcessLookupError:
            return child.wait()
        try:
            select.select([fd], [], [], timeout_s)
        finally:
            os.close(fd)
    return child.poll()


def _pids_of(program: str) -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if _runs(entry, program)]


def _runs(entry: Path, program: str) -> bool:
    try:
        return entry.name.isdigit() and str((entry / "exe").readlink()) == program
    except OSError:
        return False


def _is_stopped(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True
    return stat.rpartition(")")[2].split()[0] in ("T", "t", "Z")


def _port() -> Path:
    while True:
        for name in Path("/sys/class/virtio-ports").glob("*/name"):
            if name.read_text().strip() == _PORT_NAME:
                return Path("/dev") / name.parent.name
        time.sleep(0.05)


def _serve(port: Port, request: Fields, blobs: list[bytes]) -> None:
    try:
        answer = OPS[request["op"]](request, blobs)
    except Exception as error:
        # The driver raises it where the op was asked for.
        answer = Answer({"error": f"{type(error).__name__}: {error}"})
    port.send(Answer({**answer.fields, "id": request["id"]}, answer.blobs))


def main() -> None:
    """Serve requests until the guest is switched off."""
    _JOBS.mkdir(parents=True, exist_ok=True)
    port = Port(_port())
    print("lab: agent ready", file=sys.stderr, flush=True)
    while True:
        request, blobs = port.receive()
        threading.Thread(target=_serve, args=(port, request, blobs), daemon=True).start()


if __name__ == "__main__":
    main()
