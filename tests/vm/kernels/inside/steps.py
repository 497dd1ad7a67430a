"""The steps of the workload; each returns what there is to tell of it."""

import fcntl
import os
import shutil
import signal
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from .surroundings import (
    SERVED,
    connections,
    delayed,
    fork,
    join,
    kill_smbd,
    mount,
    serve_channels,
    signal_smbd,
    start_smbd,
    unmount,
)

SHARE = Path("/mnt/share")
SECOND = Path("/mnt/second")
SEALED = Path("/mnt/sealed")
CHANNELS = Path("/mnt/channels")
IN_SMALL_PARTS = "nosharesock,rsize=65536,wsize=65536"
MIB = 1 << 20
HOLD_S = 2
STOP_S = 8
RETURN_S = 90

Logged = dict[str, object]


def mount_two() -> Logged:
    """Serve the share anew, so that it takes several channels, and mount it twice."""
    unmount(SHARE)
    kill_smbd()
    serve_channels()
    mount(SHARE)
    mount(SECOND, IN_SMALL_PARTS)
    return {}


def files() -> Logged:
    """Make, write, read, change, rename, list and remove small files."""
    folder = SHARE / "files"
    folder.mkdir()
    for number in range(20):
        file = folder / f"file{number}"
        file.write_text(f"content {number}")
        assert file.read_text() == f"content {number}"
        os.truncate(file, 3)
        file.rename(folder / f"renamed{number}")
    listed = list(folder.iterdir())
    assert len(listed) == 20
    for file in listed:
        file.unlink()
    folder.rmdir()
    return {"free": os.statvfs(SHARE).f_bfree > 0}


def missing_files() -> Logged:
    """Look for files that are not there."""
    found = sum((SHARE / f"missing{number}").exists() for number in range(200))
    return {"found": found}


def failed_renames() -> Logged:
    """Rename a directory over one that is not empty."""
    (SHARE / "full" / "inner").mkdir(parents=True)
    (SHARE / "empty").mkdir()
    failures = 0
    for _ in range(5):
        try:
            (SHARE / "empty").rename(SHARE / "full")
        except OSError:
            failures += 1
    return {"failures": failures}


def big_files() -> Logged:
    """Write and read 16 MiB, past the cache, in requests of 64 KiB."""
    write_and_read(SECOND / "big", 16 * MIB)
    return {}


def locks() -> Logged:
    """Wait for a lock that another connection holds."""
    waits_s = {}
    for name, lock in (("fcntl", fcntl.lockf), ("flock", fcntl.flock)):
        (SERVED / name).write_text("locked")
        shutil.chown(SERVED / name, "alice")
        with (SHARE / name).open("r+") as held, (SECOND / name).open("r+") as wanted:
            lock(held, fcntl.LOCK_EX)
            child = fork(partial(lock, wanted, fcntl.LOCK_EX))
            started_s = time.monotonic()
            time.sleep(HOLD_S)
            lock(held, fcntl.LOCK_UN)
            join(child)
            waits_s[name] = round(time.monotonic() - started_s, 1)
    return {"waits_s": waits_s}


def lease_breaks() -> Logged:
    """Open by one connection what another one has cached."""
    for number in range(3):
        with (SHARE / f"leased{number}").open("w") as cached:
            cached.write("in the cache")
            cached.flush()
            with (SECOND / f"leased{number}").open("r+") as other:
                other.read()
    return {}


def encrypted() -> Logged:
    """Do the same over an encrypted connection."""
    mount(SEALED, "nosharesock,seal")
    write_and_read(SEALED / "sealed", 2 * MIB)
    for number in range(10):
        (SEALED / f"sealed{number}").write_text("secret")
        (SEALED / f"missing{number}").exists()
    assert len(list(SEALED.iterdir())) > 10
    return {}


def multichannel() -> Logged:
    """Read and write over several connections of one session."""
    before = connections()
    try:
        mount(CHANNELS, f"{IN_SMALL_PARTS},multichannel,max_channels=4")
    except SystemExit as refusal:
        return {"skipped": str(refusal)}
    write_and_read(CHANNELS / "spread", 4 * MIB)
    return {"channels": connections() - before}


def slow_network() -> Logged:
    """Ask for files while every packet is late."""
    names = cold_files("slow", 6)
    with delayed():
        for name in names:
            (SHARE / name).stat()
    return {}


def refused() -> Logged:
    """Open files that may not be opened."""
    names = cold_files("closed", 6)
    refusals = 0
    for name in names:
        (SERVED / name).chmod(0o600)
        try:
            (SHARE / name).read_bytes()
        except PermissionError:
            refusals += 1
    return {"refusals": refusals}


def unmount_most() -> Logged:
    """Leave the two mounts that meet the trouble to come."""
    for target in (SEALED, CHANNELS):
        if target.is_mount():
            unmount(target)
    return {}


def stopped_server() -> Logged:
    """Ask a server that does not answer for a while."""
    (name,) = cold_files("hung", 1)
    signal_smbd(signal.SIGSTOP)
    started_s = time.monotonic()
    child = fork((SHARE / name).stat)
    time.sleep(STOP_S)
    signal_smbd(signal.SIGCONT)
    join(child)
    return {"waited_s": round(time.monotonic() - started_s, 1)}


def killed_server() -> Logged:
    """Ask a server that is killed before it answers, and comes back."""
    names = cold_files("killed", 4)
    signal_smbd(signal.SIGSTOP)
    children = [fork((SHARE / names[0]).stat), fork((SECOND / names[1]).stat)]
    time.sleep(1)
    kill_smbd()
    start_smbd()
    for child in children:
        with suppress(ChildProcessError):
            join(child)
    return {"back_after_s": [back_after_s(SHARE / names[2]), back_after_s(SECOND / names[3])]}


def write_and_read(file: Path, size_bytes: int) -> None:
    """Write a file to the server and read it back from there."""
    with file.open("wb") as written:
        for _ in range(size_bytes // MIB):
            written.write(os.urandom(MIB))
        os.fsync(written.fileno())
    Path("/proc/sys/vm/drop_caches").write_text("3")
    with file.open("rb") as read:
        assert sum(len(chunk) for chunk in iter(lambda: read.read(MIB), b"")) == size_bytes


def cold_files(stem: str, count: int) -> list[str]:
    """Make files on the server's side, which the client does not know yet."""
    names = [f"{stem}{number}" for number in range(count)]
    for name in names:
        (SERVED / name).write_text(name)
    return names


def back_after_s(file: Path) -> float:
    """Return how long it takes until a file can be asked for."""
    started_s = time.monotonic()
    while time.monotonic() - started_s < RETURN_S:
        with suppress(OSError):
            file.stat()
            return round(time.monotonic() - started_s, 1)
        time.sleep(0.5)
    raise SystemExit(f"{file}: not back after {RETURN_S} s")
