"""Give the tests of this folder a fresh guest each, with the share mounted and aod at /opt/aod."""

import filecmp
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests import ROOT
from tests.vm.lab import Lab, Machine, host, prepare
from tests.vm.lab.cache import Cache, default_root
from tests.vm.lab.lab import DEFAULT_SUITE

_CONSOLE_TAIL_CHARS = 4000
# Those that stay: the suites that move are left to `make kernels`.
_SUITES = ("bookworm", "trixie")
# The first test of a machine waits for the download and build of the whole lab.
_TEST_TIMEOUT_S = 1800


@pytest.hookimpl(tryfirst=True)  # before -m
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that run in a guest, and give them time for a cold lab."""
    for item in items:
        if isinstance(item, pytest.Function) and "lab" in item.fixturenames:
            item.add_marker(pytest.mark.lab)
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(_TEST_TIMEOUT_S))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that is marked `each_suite` on the kernel of each, unless LAB_SUITE names one."""
    marked = metafunc.definition.get_closest_marker("each_suite")
    if marked and "LAB_SUITE" not in os.environ:
        metafunc.parametrize("lab", _SUITES, indirect=True, scope="session")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of the guest's console with a failed test."""
    report = yield
    vm = getattr(item, "funcargs", {}).get("vm")
    if report.when == "call" and report.failed and isinstance(vm, Machine):
        report.sections.append(("guest console", vm.console()[-_CONSOLE_TAIL_CHARS:]))
    return report


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Lab:
    """Prepare the lab; a machine that cannot run it skips, in CI it fails."""
    if reason := host.missing():
        if os.environ.get("CI") == "true" or os.environ.get("LAB_REQUIRED") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    suite = getattr(request, "param", os.environ.get("LAB_SUITE", DEFAULT_SUITE))
    return prepare(Cache(default_root()), suite)


@pytest.fixture(scope="session")
def payload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what to mount at /opt/aod: LAB_PAYLOAD, else build/payload, else nothing."""
    if named := os.environ.get("LAB_PAYLOAD"):
        return Path(named)
    built = ROOT / "build" / "payload"
    if not built.is_dir():
        return tmp_path_factory.mktemp("payload")
    assert different(built) == [], f"{built} is of another aod: run make payload"
    return built


def different(payload: Path) -> list[str]:
    """Return the files of this checkout that a payload lacks or has in another form."""
    files = [*ROOT.glob("aod/**/*.py"), *ROOT.glob("aod/data/**/*.*"), *ROOT.glob("config/*")]
    names = [str(file.relative_to(ROOT)) for file in files]
    _, changed, lacking = filecmp.cmpfiles(ROOT, payload, names, shallow=False)
    return sorted(changed + lacking)


@pytest.fixture
def vm(lab: Lab, payload: Path) -> Iterator[Machine]:
    """Resume a fresh guest for one test."""
    with lab.machine(payload) as machine:
        yield machine
