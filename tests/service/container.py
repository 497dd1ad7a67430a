"""Containers of clean Debian roots, run by podman.

mmdebstrap makes the roots, so that no registry is asked.
"""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.vm.lab import CommandError, DeadlineError, Result, host
from tests.vm.lab.cache import Cache, digest
from tests.vm.lab.debian import bootstrap
from tests.vm.lab.errors import ToolError

_CONFIG = Path(__file__).with_name("containers.conf")
_IMAGES = "localhost/aod-tests"
_IMPORT_TIMEOUT_S = 300
_END_TIMEOUT_S = 60


def podman(*words: str | Path, timeout_s: float = 120.0) -> str:
    """Run podman and return its stdout; raises ToolError."""
    return host.run(
        ["env", f"CONTAINERS_CONF={_CONFIG}", "podman", *words], timeout_s=timeout_s
    ).strip()


@dataclass(frozen=True, slots=True)
class Image:
    """Name an image of podman."""

    name: str

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
