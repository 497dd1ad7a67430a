"""The server, its mounts, the network between, and children that wait."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SERVED = Path("/srv/share")
OPTIONS = "vers=3.1.1,username=alice,password=pw,uid=0,noperm,cache=strict,actimeo=0"
SMBD = "/usr/sbin/smbd"
PORT = 445
LAB_CONF = Path("/run/lab/smb.conf")
CONF = Path("/run/smb.conf")
# The client opens several channels only to an interface that says it spreads them (RSS).
INTERFACE = 'interfaces = "lo;speed=1000000000,capability=RSS"'
DELAY_MS = 200
RUN_S = 60
START_S = 60
ESTABLISHED = "01"


def mount(target: Path, more: str = "") -> None:
    """Mount the share."""
    target.mkdir(exist_ok=True)
    options = f"{OPTIONS},{more}" if more else OPTIONS
    _run("mount", "-t", "cifs", "//127.0.0.1/share", str(target), "-o", options)


def unmount(target: Path) -> None:
    """Unmount the share."""
    _run("umount", str(target))


def connections() -> int:
    """Return how many connections to the server are established."""
    rows = [
        line.split()
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(table).read_text().splitlines()
    ]
    return sum(row[2].endswith(f":{PORT:04X}") and row[3] == ESTABLISHED for row in rows)


@contextmanager
def delayed() -> Iterator[None]:
    """Delay each packet; a request to the server pays it twice."""
    _run("tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", f"{DELAY_MS}ms")
    try:
        yield
    finally:
        _run("tc", "qdisc", "del", "dev", "lo", "root")


def serve_channels() -> None:
    """Start smbd with the lab's share on an interface that takes several channels."""
    conf = LAB_CONF.read_text()
    CONF.write_text(
        conf.replace("interfaces = lo", f"{INTERFACE}\n    server multi channel support = yes")
    )
    start_smbd()


def start_smbd() -> None:
    """Start smbd and wait until it listens."""
    _run(SMBD, "-D", "-s", str(CONF))
    until_s = time.monotonic() + START_S
    while not _listens():
        if time.monotonic() > until_s:
            raise SystemExit(f"smbd does not listen after {START_S} s")
        time.sleep(0.1)


def signal_smbd(number: int) -> None:
    """Signal every process of smbd."""
    for pid in _smbd_pids():
        os.kill(pid, number)


def kill_smbd() -> None:
    """Kill every process of smbd and wait until none is left."""
    signal_smbd(signal.SIGKILL)
    while _smbd_pids():
        time.sleep(0.05)


def fork(work: Callable[[], object]) -> int:
    """Do some work in a child and return its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except OSError as error:
        code = error.errno or 1
    finally:
        os._exit(code)


def join(pid: int) -> None:
    """Wait for a child; raises ChildProcessError when its work failed."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise ChildProcessError(f"failed with {os.strerror(code)}")


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=RUN_S)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)}: {done.stderr.strip()}")


def _listens() -> bool:
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", PORT), 10):
        return True
    return False


def _smbd_pids() -> list[int]:
    pids = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and str((entry / "exe").readlink()) == SMBD:
                pids.append(int(entry.name))
    return pids
