"""Notifications to systemd (sd_notify(3)); about 30 lines, as no kept wheel does it."""

import os
import socket


def notify(state: str) -> None:
    """Send `READY=1` and the like to the service manager; nothing when there is none.

    A datagram on a local socket: does not wait.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.setblocking(False)
        try:
            sender.sendto(state.encode(), address)
        except OSError:
            # A manager that does not listen is no reason to end.
            return
