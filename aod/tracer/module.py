"""The kernel module cifs: is it there, and when does it come."""

import asyncio
import errno
import socket
from pathlib import Path

PRESENT = Path("/proc/fs/cifs")
"""Made by cifs at its start and also where it is built in; /sys/module is no proof."""

NETLINK_KOBJECT_UEVENT = 15  # linux/netlink.h
KERNEL_GROUP = 1
LOOK_AGAIN_S = 0.05
"""The uevent is sent before the module has run its start."""


def is_loaded(present: Path = PRESENT) -> bool:
    """Tell whether cifs is there; a look into procfs."""
    return present.exists()


async def wait_until_loaded(interval_s: float, present: Path = PRESENT) -> None:
    """Return once cifs is there: woken by the kernel's uevent, and looking each interval."""
    with _uevents() as uevents:
        while not await asyncio.to_thread(is_loaded, present):
            try:
                async with asyncio.timeout(interval_s):
                    await _module_added(uevents)
                    await asyncio.sleep(LOOK_AGAIN_S)
            except TimeoutError:
                continue


def _uevents() -> socket.socket:
    kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    uevents = socket.socket(socket.AF_NETLINK, kind, NETLINK_KOBJECT_UEVENT)
    uevents.bind((0, KERNEL_GROUP))
    return uevents


async def _module_added(uevents: socket.socket) -> None:
    """Return when cifs was added, or when the kernel has dropped uevents that may have told so."""
    loop = asyncio.get_running_loop()
    try:
        while not (await loop.sock_recv(uevents, 8192)).startswith(b"add@/module/cifs\0"):
            continue
    except OSError as error:
        if error.errno != errno.ENOBUFS:  # a storm of uevents, as at the machine's start
            raise
