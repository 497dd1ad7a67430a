"""Choose how QEMU runs the guest: by KVM where that really boots a kernel, else emulated."""

import logging
import os
import select
import subprocess
import time
from pathlib import Path

from tests.vm.lab import host, qemu
from tests.vm.lab.cache import Cache, digest
from tests.vm.lab.guest import Boot

log = logging.getLogger(__name__)

KVM = "kvm"
EMULATION = "tcg,thread=multi"

# A working KVM reaches the initramfs in about a second.
_PROBE_TIMEOUT_S = 15.0
_MARK = b"lab: initramfs runs"


def choose(cache: Cache, boot: Boot) -> str:
    """Return QEMU's accelerator for this machine; the probe's result is kept until reboot."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return EMULATION
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text()
    key = digest(boot_id, qemu_version(), boot.kernel.place.name)
    place = cache.entry("accelerator", key, lambda place: _probe(boot, place), keep=8)
    return (place / "accelerator").read_text()


def qemu_version() -> str:
    """Return the first line of `qemu --version`."""
    return host.run([qemu.PROGRAM, "--version"], timeout_s=20).partition("\n")[0]


def _probe(boot: Boot, place: Path) -> None:
    choice = KVM if _kvm_boots(boot) else EMULATION
    log.info("chose accelerator=%s", choice)
    (place / "accelerator").write_text(choice)


def _kvm_boots(boot: Boot) -> bool:
    argv = [qemu.PROGRAM, *qemu.processor(KVM), "-m", "512M", "-serial", "stdio"]
    argv += ["-kernel", str(boot.kernel.image), "-initrd", str(boot.initramfs)]
    process = qemu.start([*argv, "-append", qemu.COMMAND_LINE], subprocess.PIPE)
    try:
        return _says(process, _MARK)
    finally:
        qemu.end(process)


def _says(process: subprocess.Popen[bytes], mark: bytes) -> bool:
    assert process.stdout is not None
    deadline_s = time.monotonic() + _PROBE_TIMEOUT_S
    said = b""
    with process.stdout as console:
        while (left_s := deadline_s - time.monotonic()) > 0:
            if not select.select([console], [], [], left_s)[0]:
                break
            chunk = os.read(console.fileno(), 4096)
            said += chunk
            if mark in said or not chunk:
                break
    return mark in said
