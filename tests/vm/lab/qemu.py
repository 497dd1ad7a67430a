"""Run QEMU: its command line, its process and its control socket (QMP)."""

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.vm.lab import host
from tests.vm.lab.errors import GuestError
from tests.vm.lab.guest import Guest

log = logging.getLogger(__name__)

PROGRAM = "qemu-system-x86_64"
# Without tsc=reliable every read of the clock is an emulated MMIO access.
COMMAND_LINE = "console=ttyS0 quiet panic=-1 oops=panic tsc=reliable mitigations=off nokaslr"

# Time that ticks once per instruction, on one processor: what is measured repeats exactly.
COUNTED = "tcg,thread=single"

_CPU_OF_ACCELERATOR = {"kvm": "host", "tcg": "max,la57=off,svm=off"}
_MEMORY = "1536M"
_CONNECT_TIMEOUT_S = 20.0
_QMP_TIMEOUT_S = 60.0
_CONSOLE_TAIL_LINES = 60
# After a panic QEMU closes its sockets first and ends a moment later.
_LAST_WORDS_S = 0.5


@dataclass(frozen=True, slots=True)
class Hardware:
    """Describe a machine; a saved state fits only the hardware that it was saved on."""

    accelerator: str
    guest: Guest

    def argv(self, folder: Path, disk: Path, payload_image: Path) -> list[str]:
        """Return QEMU's command line; its sockets and the console are files in `folder`."""
        return [
            PROGRAM,
            *processor(self.accelerator),
            *("-m", _MEMORY, "-serial", f"file:{folder}/console"),
            *("-qmp", f"unix:{folder}/qmp,server=on,wait=off"),
            *_drive("root", disk, "format=qcow2,cache=unsafe"),
            *_drive("modules", self.guest.boot.module_image, "format=raw,readonly=on"),
            *_drive("payload", payload_image, "format=raw,readonly=on"),
            *("-device", "virtio-rng-pci", "-device", "virtio-serial-pci"),
            *_socket(folder, "agent", "virtserialport,name=agent"),
            *_socket(folder, "terminal", "virtconsole"),
            *(
                "-kernel",
                str(self.guest.boot.kernel.image),
                "-initrd",
                str(self.guest.boot.initramfs),
            ),
            *("-append", COMMAND_LINE),
        ]


def processor(accelerator: str) -> list[str]:
    """Return the options of accelerator, processor and board."""
    cpu = _CPU_OF_ACCELERATOR[accelerator.partition(",")[0]]
    board = ["-machine", "q35", "-nodefaults", "-no-user-config", "-no-reboot"]
    count = ["-smp", "1", "-icount", "shift=0,sleep=on"]
    number = count if accelerator == COUNTED else ["-smp", "2"]
    return [*board, "-accel", accelerator, "-cpu", cpu, *number, "-display", "none"]


def start(argv: list[str], output: int) -> subprocess.Popen[bytes]:
    """Start QEMU in its own session; it dies with the thread that started it."""
    return subprocess.Popen(
        [str(host.which("setpriv")), "--pdeathsig", "KILL", *argv],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process group and reap it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=10)


def _drive(name: str, image: Path, options: str) -> list[str]:
    file = str(image).replace(",", ",,")
    return [
        *("-drive", f"file={file},if=none,id={name},{options}"),
        *("-device", f"virtio-blk-pci,drive={name}"),
    ]


def _socket(folder: Path, name: str, device: str) -> list[str]:
    return [
        *("-chardev", f"socket,id={name},path={folder}/{name},server=on,wait=off"),
        *("-device", f"{device},chardev={name}"),
    ]


class Qemu:
    """Own one QEMU process; leaving the `with` block kills it."""

    def __init__(self, argv: list[str], folder: Path) -> None:
        self._folder = folder
        with (folder / "qemu.log").open("wb") as output:
            self._process = start(argv, output.fileno())
        try:
            self._qmp = self.connect("qmp")
            self._qmp.settimeout(_QMP_TIMEOUT_S)
            self._replies = self._qmp.makefile("rb")
            self._replies.readline()
            self.execute("qmp_capabilities")
        except BaseException:
            end(self._process)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        end(self._process)
        self._replies.close()
        self._qmp.close()

    def connect(self, name: str) -> socket.socket:
        """Connect to one of QEMU's sockets; raises GuestError when it ends before that."""
        deadline_s = time.monotonic() + _CONNECT_TIMEOUT_S
        while True:
            peer = socket.socket(socket.AF_UNIX)
            try:
                peer.connect(str(self._folder / name))
            except (FileNotFoundError, ConnectionRefusedError):
                peer.close()
                if self._process.poll() is not None or time.monotonic() > deadline_s:
                    raise self.failure(f"QEMU does not open its socket {name}") from None
                time.sleep(0.01)
            else:
                return peer

    def execute(self, command: str, **arguments: Any) -> Any:
        """Run a QMP command and return its answer; raises GuestError."""
        request = {"execute": command, "arguments": arguments}
        try:
            self._qmp.sendall(json.dumps(request).encode() + b"\n")
            while line := self._replies.readline():
                reply = json.loads(line)
                if "error" in reply:
                    raise self.failure(f"QMP {command}: {reply['error']['desc']}")
                if "return" in reply:
                    return reply["return"]
        except OSError as error:
            raise self.failure(f"QMP {command}: {error}") from error
        raise self.failure(f"QEMU ended during QMP {command}")

    def wait_for(self, command: str, wanted: set[str], timeout_s: float) -> None:
        """Ask until the `status` of an answer is one of `wanted`; raises GuestError."""
        deadline_s = time.monotonic() + timeout_s
        while (answer := self.execute(command)).get("status") not in wanted:
            if time.monotonic() > deadline_s or answer.get("status") == "failed":
                raise self.failure(f"{command} says {answer}, not {wanted}")
            time.sleep(0.02)

    def console(self) -> str:
        """Return what the guest wrote to its serial console."""
        file = self._folder / "console"
        return file.read_text(errors="replace") if file.exists() else ""

    def failure(self, reason: str) -> GuestError:
        """Make the error for a guest that is lost, with what it and QEMU said last."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_LAST_WORDS_S)
        code = self._process.poll()
        life = "still runs" if code is None else f"ended with code {code}"
        said = (self._folder / "qemu.log").read_text(errors="replace") + self.console()
        tail = "\n".join(said.splitlines()[-_CONSOLE_TAIL_LINES:])
        return GuestError(f"{reason}; QEMU {life}. Console:\n{tail}")
