"""The kernel module cifs: is it there, who uses it, and when does it come and go."""

import asyncio
import errno
import socket
from collections.abc import AsyncGenerator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

PRESENT = Path("/proc/fs/cifs")
"""Made by cifs at its start and also where it is built in; /sys/module is no proof."""
MODULE = Path("/sys/module/cifs")

NETLINK_KOBJECT_UEVENT = 15  # linux/netlink.h
KERNEL_GROUP = 1
UEVENTS = (b"add@/module/cifs\0", b"remove@/module/cifs\0")
READ_AGAIN_S = 0.05
START_S = 2.0
"""The uevent is sent before the module has run its start, which takes so long at most."""


class Interval(Protocol):
    """How often the module is read besides."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Module:
    """One load of cifs: another load has another `identity`.

    `users` is how often it is used, mounts and tracepoints alike; None when it is built in.
    """

    identity: int
    users: int | None


def is_loaded(present: Path = PRESENT) -> bool:
    """Return whether cifs is there; reads procfs."""
    return present.exists()


def current(present: Path = PRESENT, module: Path = MODULE) -> Module | None:
    """Return the module as it is now, None when it is not there; reads memory only."""
    try:
        # Made anew with each load; procfs may still have the file of the one before.
        identity = module.stat().st_ino
        state = (module / "initstate").read_text().strip()
        users = int((module / "refcnt").read_text())
    except FileNotFoundError:
        return Module(0, None) if is_loaded(present) else None
    return Module(identity, users) if state == "live" and is_loaded(present) else None


async def changes(interval: Interval) -> AsyncGenerator[Module | None, None]:
    """Yield the module now, whenever the kernel reports a change of it, and each interval."""
    with closing(_uevents()) as uevents:
        while True:
            yield await asyncio.to_thread(current)
            try:
                async with asyncio.timeout(interval.seconds):
                    event = await _module_event(uevents)
            except TimeoutError:
                continue
            if event != UEVENTS[1]:
                await _started()


async def _started() -> None:
    """Wait until the module has run its start: of that the kernel sends no event."""
    for _ in range(round(START_S / READ_AGAIN_S)):
        if await asyncio.to_thread(current):
            return
        await asyncio.sleep(READ_AGAIN_S)


def _uevents() -> socket.socket:
    kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    uevents = socket.socket(socket.AF_NETLINK, kind, NETLINK_KOBJECT_UEVENT)
    uevents.bind((0, KERNEL_GROUP))
    return uevents


async def _module_event(uevents: socket.socket) -> bytes:
    """Return the event of cifs, or b"" when the kernel has dropped some that may have been its."""
    loop = asyncio.get_running_loop()
    try:
        while True:
            message = await loop.sock_recv(uevents, 8192)
            for event in UEVENTS:
                if message.startswith(event):
                    return event
    except OSError as error:
        if error.errno != errno.ENOBUFS:  # a storm of uevents, as at the machine's start
            raise
        return b""
