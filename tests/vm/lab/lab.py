"""Put the lab together: kernel, guest, saved state, and machines resumed from it."""

import contextlib
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.vm.lab import kernel, payload, saved
from tests.vm.lab.accelerator import choose
from tests.vm.lab.cache import Cache
from tests.vm.lab.guest import Guest, build_boot, build_root
from tests.vm.lab.machine import Machine
from tests.vm.lab.qemu import COUNTED, Hardware
from tests.vm.lab.saved import SavedState
from tests.vm.lab.system import PLAIN, System

log = logging.getLogger(__name__)

DEFAULT_SUITE = "bookworm"


@dataclass(frozen=True, slots=True)
class Lab:
    """Resume machines; made by `prepare`."""

    cache: Cache
    state: SavedState

    @contextlib.contextmanager
    def machine(self, payload: Path) -> Iterator[Machine]:
        """Resume a fresh guest with the directory `payload` mounted read-only at /opt/aod."""
        with self.resumed(payload) as (machine, _):
            yield machine

    @contextlib.contextmanager
    def resumed(self, directory: Path) -> Iterator[tuple[Machine, Path]]:
        """Do as `machine`, and yield the folder of the machine's sockets too."""
        image = payload.image(self.cache, directory, self.state.hardware.guest.system)
        # Two emulated machines on two processors only slow each other down.
        with self.cache.lock("machine"), self.state.resume(image) as running:
            yield running


def prepare(cache: Cache, suite: str = DEFAULT_SUITE, system: System = PLAIN) -> Lab:
    """Build all that is not in the cache: a minute or two at first, nothing later.

    Raises DownloadError, ToolError or GuestError.
    """
    return _prepare(cache, suite, system, f"{system.kind('state')}-{suite}")


def prepare_counted(cache: Cache, suite: str = DEFAULT_SUITE) -> Lab:
    """Do as `prepare` for machines whose clock counts instructions; their boot takes longer."""
    return _prepare(cache, suite, PLAIN, f"state-counted-{suite}", COUNTED)


def _prepare(cache: Cache, suite: str, system: System, kind: str, accelerator: str = "") -> Lab:
    # The packages take half a minute, and so do the kernel and a KVM that does not answer.
    with ThreadPoolExecutor(1, "lab-root") as pool:
        root = pool.submit(build_root, cache, system)
        boot = build_boot(cache, kernel.fetch(cache, suite), suite, system)
        chosen = accelerator or choose(cache, boot)
        built = Guest(boot, root.result(), system)
    return Lab(cache, saved.save(cache, Hardware(chosen, built), kind))
