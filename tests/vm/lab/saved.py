"""Save the state of a guest with its share mounted, and resume it in about a second.

A saved state is a disk (what the boot wrote) and a file (memory and devices). It fits only the
same QEMU, accelerator and guest, which is what its key is made of.
"""

import contextlib
import logging
import os
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.vm.lab import accelerator, host, payload
from tests.vm.lab.cache import Cache, digest
from tests.vm.lab.channel import Channel
from tests.vm.lab.machine import Machine
from tests.vm.lab.qemu import Hardware, Qemu

log = logging.getLogger(__name__)

# Measured under emulation: 8 s to the agent, 12 s more to the mounted share.
_BOOT_TIMEOUT_S = 180.0
_SERVE_TIMEOUT_S = 180.0
_SAVE_TIMEOUT_S = 120.0
_RESUME_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class SavedState:
    """Hold a saved guest."""

    hardware: Hardware
    place: Path

    @contextlib.contextmanager
    def resume(self, payload_image: Path) -> Iterator[tuple[Machine, Path]]:
        """Resume the guest on a disk of its own, with its clock set and the payload mounted.

        Yields the machine and the folder of its sockets; the guest ends with the block.
        """
        with tempfile.TemporaryDirectory(prefix="aod-lab-") as name:
            folder = Path(name)
            _overlay(folder / "disk.qcow2", self.place / "disk.qcow2", "qcow2")
            argv = self.hardware.argv(folder, folder / "disk.qcow2", payload_image)
            source = f"exec:cat {shlex.quote(str(self.place / 'memory'))}"
            with Qemu([*argv, "-incoming", source], folder) as qemu:
                qemu.wait_for("query-status", {"paused"}, _RESUME_TIMEOUT_S)
                qemu.execute("cont")
                with _machine(qemu) as machine:
                    machine.set_clock()
                    # A stale page of the disk that was there before must not be seen.
                    machine.run(
                        "blockdev --flushbufs /dev/vdc"
                        f" && mount -t ext4 -o ro,noload /dev/vdc {self._payload_place}"
                    )
                    yield machine, folder

    @property
    def _payload_place(self) -> str:
        return self.hardware.guest.system.payload_place


def save(cache: Cache, hardware: Hardware, kind: str) -> SavedState:
    """Return the saved state of a machine, made by booting it once when it is not in the cache."""
    shape = [part for part in hardware.argv(Path(), Path(), Path()) if "=" in part]
    key = digest(hardware.guest.key, accelerator.qemu_version(), hardware.accelerator, *shape)
    place = cache.entry(kind, key, lambda place: _save(cache, hardware, place))
    return SavedState(hardware, place)


def _save(cache: Cache, hardware: Hardware, place: Path) -> None:
    with cache.lock("machine"), tempfile.TemporaryDirectory(prefix="aod-lab-") as name:
        folder = Path(name)
        blank = payload.blank(folder / "blank.img", hardware.guest.system)
        root = os.path.relpath(hardware.guest.root_image, place)
        _overlay(place / "disk.qcow2", Path(root), "raw")
        argv = hardware.argv(folder, place / "disk.qcow2", blank)
        with Qemu(argv, folder) as qemu, _machine(qemu) as machine:
            machine.run("true", _BOOT_TIMEOUT_S)
            log.info("guest runs; starting smbd and mounting the share")
            machine.run("/run/lab/serve", _SERVE_TIMEOUT_S)
            machine.mount(timeout_s=_SERVE_TIMEOUT_S)
            machine.run("sync")
            _write_memory(qemu, place / "memory")


def _write_memory(qemu: Qemu, file: Path) -> None:
    qemu.execute("stop")
    # The default limit of 128 MiB/s is meant for networks.
    qemu.execute("migrate-set-parameters", **{"max-bandwidth": 10**11})
    qemu.execute("migrate", uri=f"exec:cat > {shlex.quote(str(file))}")
    qemu.wait_for("query-migrate", {"completed"}, _SAVE_TIMEOUT_S)
    qemu.execute("quit")


def _overlay(disk: Path, backing: Path, form: str) -> None:
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(backing), "-F", form, str(disk)]
    host.run(argv, timeout_s=30)


@contextlib.contextmanager
def _machine(qemu: Qemu) -> Iterator[Machine]:
    channel = Channel(qemu.connect("agent"), qemu.failure)
    try:
        yield Machine(channel, qemu.console)
    finally:
        channel.close()
