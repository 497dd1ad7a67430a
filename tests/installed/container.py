"""Containers of clean Debian roots, run by podman.

mmdebstrap makes the roots, so that no registry is asked.
"""

import contextlib
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.vm.lab import CommandError, DeadlineError, Result, host
from tests.vm.lab.cache import Cache, digest
from tests.vm.lab.debian import bootstrap
from tests.vm.lab.errors import ToolError

_CONFIG = Path(__file__).with_name("containers.conf")
_PODMAN = ("env", f"CONTAINERS_CONF={_CONFIG}", "podman")
_IMAGES = "localhost/aod-tests"
_IMPORT_TIMEOUT_S = 300
_END_TIMEOUT_S = 60
_LOOK_AGAIN_S = 0.1


def podman(*words: str | Path, timeout_s: float = 120.0) -> str:
    """Run podman and return its stdout; raises ToolError."""
    return host.run([*_PODMAN, *words], timeout_s=timeout_s).strip()


@dataclass(frozen=True, slots=True)
class Image:
    """Name an image of podman."""

    name: str

    def save(self, archive: Path) -> None:
        """Write it to a file, for another machine's podman to load."""
        podman("save", "--quiet", "--output", archive, self.name, timeout_s=_IMPORT_TIMEOUT_S)

    @contextlib.contextmanager
    def run(self, *command: str, options: tuple[str, ...] = ()) -> Iterator["Container"]:
        """Run a container of it, without a network of its own; it is removed with the block."""
        identity = podman("run", "--detach", "--network=host", *options, self.name, *command)
        try:
            yield Container(identity)
        finally:
            podman("rm", "--force", "--time=2", identity, timeout_s=_END_TIMEOUT_S)


@dataclass(frozen=True, slots=True)
class Container:
    """Drive a running container."""

    identity: str

    def run(self, command: str, timeout_s: float = 60.0, *, check: bool = True) -> Result:
        """Run a command under bash as root.

        Raises DeadlineError at the deadline; with `check`, CommandError at a code other than 0.
        """
        argv = ["podman", "exec", self.identity, "bash", "-c", command]
        try:
            done = subprocess.run(
                argv, capture_output=True, text=True, check=False, timeout=timeout_s
            )
        except subprocess.TimeoutExpired as error:
            raise DeadlineError(f"still running after {timeout_s:g} s: {command}") from error
        if check and done.returncode != 0:
            said = f"{done.stdout[-1000:]}\n{done.stderr[-2000:]}".strip()
            raise CommandError(f"code {done.returncode} from: {command}\n{said}")
        return Result(done.returncode, done.stdout, done.stderr)

    def copy_in(self, file: Path, target: str) -> None:
        """Copy a file of this machine into it."""
        podman("cp", file, f"{self.identity}:{target}")

    def logs(self) -> str:
        """Return what its process has written."""
        # podman keeps stdout and stderr apart.
        both = f"{shlex.join(_PODMAN)} logs {self.identity} 2>&1"
        return host.run(["bash", "-c", both], timeout_s=_END_TIMEOUT_S)

    def wait_for(self, text: str, timeout_s: float = 30.0) -> None:
        """Wait until its process has written `text`; DeadlineError with the rest if never."""
        deadline_s = time.monotonic() + timeout_s
        while text not in (written := self.logs()):
            if time.monotonic() > deadline_s:
                raise DeadlineError(f"no {text!r} in: {written}")
            time.sleep(_LOOK_AGAIN_S)

    def state(self) -> tuple[str, int]:
        """Return its state and the exit code that it has ended with, if it has."""
        told = podman("inspect", "--format={{.State.Status}} {{.State.ExitCode}}", self.identity)
        status, code = told.split()
        return status, int(code)

    def stop(self) -> None:
        """Ask it to end, and kill it when it does not within podman's ten seconds."""
        podman("stop", self.identity, timeout_s=_END_TIMEOUT_S)

    def wait(self) -> None:
        """Wait for its end."""
        podman("wait", self.identity, timeout_s=_END_TIMEOUT_S)

    def commit(self, image: Image) -> None:
        """Keep what is on its disk now as an image."""
        podman("commit", "--quiet", self.identity, image.name, timeout_s=_IMPORT_TIMEOUT_S)


def debian(cache: Cache, suite: str, *packages: str) -> Image:
    """Return an image of a clean Debian with some packages, made once."""
    kind = f"debian-{suite}{'-with' if packages else ''}"
    key = digest(suite, *packages)

    def make(image: Image) -> None:
        place = cache.entry(kind, key, lambda place: bootstrap(suite, packages, place / "root.tar"))
        root = place / "root.tar"
        podman("import", "--quiet", root, image.name, timeout_s=_IMPORT_TIMEOUT_S)

    return kept(cache, kind, key, make)


def kept(cache: Cache, kind: str, key: str, make: Callable[[Image], None]) -> Image:
    """Return the image of a kind and key, made by `make` when podman has none; older ones go."""
    image = Image(f"{_IMAGES}/{kind}:{key}")
    # Two test runs may share a machine.
    with cache.lock(f"podman-{kind}"):
        there = podman("images", "--format={{.Repository}}:{{.Tag}}", f"{_IMAGES}/{kind}")
        if image.name not in there.splitlines():
            make(image)
            for older in there.splitlines():
                # One that another run uses stays.
                with contextlib.suppress(ToolError):
                    podman("rmi", older)
    return image
