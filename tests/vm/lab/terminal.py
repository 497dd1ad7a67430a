"""Give a person a shell on a terminal inside the guest."""

import contextlib
import os
import select
import shutil
import socket
import sys
import termios
import tty
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.vm.lab.errors import LabError
from tests.vm.lab.machine import Machine

_TERMINAL = "/dev/hvc0"
_LONGEST_S = 86400.0


def shell(machine: Machine, folder: Path) -> None:
    """Connect this terminal to a login shell in the guest until that shell ends.

    Raises LabError when there is no terminal.
    """
    if not sys.stdin.isatty():
        raise LabError("shell needs a terminal; without one use: run COMMAND")
    columns, rows = shutil.get_terminal_size()
    command = (
        f"TERM=linux setsid --ctty --wait bash -c"
        f" 'stty sane rows {rows} columns {columns}; exec bash -il' <>{_TERMINAL} >&0 2>&0"
    )
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(str(folder / "terminal"))
    with peer, ThreadPoolExecutor(1, "lab-shell") as pool, _raw(sys.stdin.fileno()):
        ended = pool.submit(machine.run, command, _LONGEST_S, check=False)
        ended.add_done_callback(lambda _: peer.shutdown(socket.SHUT_RDWR))
        _relay(peer)


def _relay(peer: socket.socket) -> None:
    keyboard, screen = sys.stdin.fileno(), sys.stdout.fileno()
    while True:
        ready = select.select([keyboard, peer], [], [])[0]
        if peer in ready:
            said = peer.recv(65536)
            if not said:
                return
            os.write(screen, said)
        if keyboard in ready:
            peer.sendall(os.read(keyboard, 65536))


@contextlib.contextmanager
def _raw(fd: int) -> Iterator[None]:
    before = termios.tcgetattr(fd)
    tty.setraw(fd)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
