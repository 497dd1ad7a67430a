"""A running guest, as tests use it: commands, jobs, files, and what goes wrong on purpose."""

import io
import logging
import shlex
import signal
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.vm.lab.channel import Answer, Channel
from tests.vm.lab.errors import CommandError, DeadlineError

log = logging.getLogger(__name__)

SHARE = Path("/mnt/share")
SERVED = Path("/srv/share")
MOUNT_OPTIONS = "vers=3.1.1,username=alice,password=pw,uid=0,noperm,cache=strict,actimeo=0"

_SMBD = "/usr/sbin/smbd"
# The guest is up to 25 times slower than this machine: what counts as silence is generous.
_ANSWER_TIMEOUT_S = 60.0
_FILE_TIMEOUT_S = 180.0


@dataclass(frozen=True, slots=True)
class Result:
    """Hold how a command ended and what it wrote."""

    code: int
    stdout: str
    stderr: str


class Job:
    """Stand for a command that runs in the guest's background, in a session of its own."""

    def __init__(self, channel: Channel, command: str, pid: int) -> None:
        self._channel = channel
        self._command = command
        self.pid = pid

    def wait(self, timeout_s: float = 60.0) -> int:
        """Wait for its end and return its code; raises DeadlineError when it still runs."""
        answer = self._channel.call(
            "wait", timeout_s=timeout_s + _ANSWER_TIMEOUT_S, pid=self.pid, wait_s=timeout_s
        )
        code: int | None = answer.fields["code"]
        if code is None:
            raise DeadlineError(f"still running after {timeout_s:g} s: {self._command}")
        return code

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Signal its process group."""
        self._channel.call(
            "send_signal", timeout_s=_ANSWER_TIMEOUT_S, pid=self.pid, signal=int(number)
        )

    def output(self) -> str:
        """Return what it wrote to stdout so far."""
        return self._written(0)

    def errors(self) -> str:
        """Return what it wrote to stderr so far."""
        return self._written(1)

    def _written(self, stream: int) -> str:
        answer = self._channel.call("output", timeout_s=_FILE_TIMEOUT_S, pid=self.pid)
        return answer.blobs[stream].decode(errors="replace")


class Machine:
    """Drive a running guest; every method raises GuestError when the guest is gone."""

    def __init__(self, channel: Channel, console: Callable[[], str]) -> None:
        self._channel = channel
        self._console = console

    def run(self, command: str, timeout_s: float = 60.0, *, check: bool = True) -> Result:
        """Run a command under bash as root.

        Raises DeadlineError at the deadline; with `check`, CommandError at a code other than 0.
        """
        answer = self._execute(command, timeout_s)
        stdout, stderr = (blob.decode(errors="replace") for blob in answer.blobs)
        result = Result(answer.fields["code"], stdout, stderr)
        if check and result.code != 0:
            said = "\n".join((result.stdout[-1000:], result.stderr[-2000:])).strip()
            raise CommandError(f"code {result.code} from: {command}\n{said}")
        return result

    def start(self, command: str) -> Job:
        """Start a command under bash in the background."""
        answer = self._channel.call("start", timeout_s=_ANSWER_TIMEOUT_S, command=command)
        return Job(self._channel, command, answer.fields["pid"])

    def read(self, path: str | Path) -> bytes:
        """Return the content of a file in the guest; files of /proc and /sys too."""
        return self._channel.call("read", timeout_s=_FILE_TIMEOUT_S, path=str(path)).blobs[0]

    def write(self, path: str | Path, content: bytes) -> None:
        """Replace the content of a file in the guest."""
        self._channel.call("write", timeout_s=_FILE_TIMEOUT_S, blobs=[content], path=str(path))

    def copy_out(self, source: str | Path, target: Path) -> None:
        """Copy a file or a directory of the guest to `target` on this machine."""
        place = Path(source)
        command = f"tar -C {shlex.quote(str(place.parent))} -cf - {shlex.quote(place.name)}"
        answer = self._execute(command, _FILE_TIMEOUT_S)
        if answer.fields["code"] != 0:
            raise CommandError(f"cannot copy {source}: {answer.blobs[1].decode()}")
        with (
            tempfile.TemporaryDirectory(dir=target.parent) as folder,
            tarfile.open(fileobj=io.BytesIO(answer.blobs[0])) as archive,
        ):
            # Debian 12's Python 3.11.2 knows no filters; these files are the guest's own anyway.
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(folder)
            (Path(folder) / place.name).rename(target)

    def console(self) -> str:
        """Return what the guest wrote to its serial console since it was resumed."""
        return self._console()

    def delay(self, delay_ms: int) -> None:
        """Delay each packet on the loopback; a request to smbd pays it twice."""
        self.run(f"tc qdisc replace dev lo root netem delay {delay_ms}ms")

    def no_delay(self) -> None:
        """Take the delay away."""
        self.run("tc qdisc del dev lo root")

    def stop_smbd(self) -> list[int]:
        """Stop every smbd process (SIGSTOP), so that requests hang; return their pids."""
        return self._smbd("stop_program")

    def continue_smbd(self) -> list[int]:
        """Continue every smbd process; return their pids."""
        return self._smbd("continue_program")

    def mount(
        self, target: str | Path = SHARE, *, options: str = MOUNT_OPTIONS, timeout_s: float = 60.0
    ) -> None:
        """Mount the share, by default as it is mounted when the guest is resumed."""
        place = shlex.quote(str(target))
        command = f"mkdir -p {place} && mount -t cifs //127.0.0.1/share {place} -o {options}"
        self.run(command, timeout_s)

    def umount(self, target: str | Path = SHARE, *, timeout_s: float = 60.0) -> None:
        """Unmount the share."""
        self.run(f"umount {shlex.quote(str(target))}", timeout_s)

    def set_clock(self) -> None:
        """Set the guest's wall clock to this machine's."""
        self._channel.call("set_clock", timeout_s=_ANSWER_TIMEOUT_S, time_ns=time.time_ns())

    def _smbd(self, op: str) -> list[int]:
        answer = self._channel.call(op, timeout_s=_ANSWER_TIMEOUT_S, program=_SMBD)
        pids: list[int] = answer.fields["pids"]
        return pids

    def _execute(self, command: str, limit_s: float) -> Answer:
        answer = self._channel.call(
            "run", timeout_s=limit_s + _ANSWER_TIMEOUT_S, command=command, wait_s=limit_s
        )
        if answer.fields["code"] is None:
            said = answer.blobs[1].decode(errors="replace")[-2000:]
            raise DeadlineError(f"killed after {limit_s:g} s: {command}\n{said}")
        return answer
