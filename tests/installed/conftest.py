"""Give the tests of this folder clean machines with the packages that `make test-service` built.

They are not collected by `make test` (norecursedirs): they take minutes and podman.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installed import deb
from tests.installed.container import Container, Image, debian, kept, podman
from tests.installed.unit import NAME, Unit
from tests.vm.lab import host
from tests.vm.lab.cache import Cache, default_root, digest

_HERE = Path(__file__).parent
# The first test of a machine waits for the download and build of all that the cache keeps.
_TEST_TIMEOUT_S = 1800
_SYSTEMD = ("--privileged", "--systemd=always")
# What the package needs and recommends, so that what comes and goes is the package alone.
_AROUND = (
    *("systemd", "systemd-sysv", "dbus", "init-system-helpers", "python3", "zlib1g", "util-linux"),
    *("procps", "cifs-utils", "tcpdump", "zstd"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder time for a cold cache."""
    for item in items:
        if item.path.is_relative_to(_HERE) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_TEST_TIMEOUT_S))


@pytest.fixture(scope="session")
def cache() -> Cache:
    """Fail on a machine that cannot run these tests: who asks for them wants them run."""
    if reason := host.missing():
        pytest.fail(reason)
    lacking = [tool for tool in ("podman", "runc", "dpkg-deb") if not host.which(tool)]
    if lacking:
        pytest.fail(f"apt-get install --no-install-recommends {' '.join(lacking)}")
    return Cache(default_root())


@pytest.fixture(scope="session")
def package() -> Path:
    """The package for Debian 12."""
    return deb.built("3.11")


@pytest.fixture(scope="session")
def next_package(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of the release after it."""
    return deb.newer(package, tmp_path_factory.mktemp("newer"))


@pytest.fixture(scope="session")
def image(cache: Cache) -> Image:
    """The image of aod, which `make image` builds."""
    name = "localhost/aod:latest"
    if not podman("images", "--quiet", name):
        pytest.fail(f"there is no image {name}: make image")
    return Image(name)


@pytest.fixture(scope="session")
def bare(cache: Cache) -> Image:
    """A Debian 12 with systemd, and nothing of aod."""
    return debian(cache, "bookworm", *_AROUND)


@pytest.fixture(scope="session")
def installed(cache: Cache, bare: Image, package: Path) -> Image:
    """The same, once the package was installed on it."""

    def make(image: Image) -> None:
        with booted(bare) as machine:
            install(machine, package)
            Unit(machine).wait_until("ActiveState", "active")
            machine.run(f"systemctl stop {NAME} && rm -f /var/log/aod/*")
            machine.commit(image)

    return kept(cache, "installed", digest(bare.name, package.read_bytes()), make)


@pytest.fixture
def machine(installed: Image) -> Iterator[Container]:
    """A machine that was just started, with the package installed."""
    with booted(installed) as container:
        yield container


@pytest.fixture
def unit(machine: Container) -> Unit:
    """The service in `machine`, ready."""
    unit = Unit(machine)
    unit.wait_until("ActiveState", "active")
    return unit


@contextlib.contextmanager
def booted(image: Image) -> Iterator[Container]:
    """Run an image with systemd as PID 1 until everything has been started."""
    with image.run("/sbin/init", options=_SYSTEMD) as container:
        container.run("timeout 30 bash -c 'until [ -S /run/systemd/private ]; do sleep 0.05; done'")
        container.run("systemctl is-system-running --wait || systemctl --failed")
        yield container


def install(machine: Container, package: Path, *options: str) -> None:
    """Install a package whose dependencies are there already."""
    machine.copy_in(package, "/root/aod.deb")
    machine.run(f"dpkg {' '.join(options)} --install /root/aod.deb && rm /root/aod.deb", 120)
