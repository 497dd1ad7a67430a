"""The packages under test, and one that looks like the next release."""

import re
from pathlib import Path

from tests.vm.lab import host

_DIST = Path(__file__).parents[2] / "dist"


def built(python: str) -> Path:
    """Return the deb for a Python such as 3.11; `make deb` makes it."""
    found = sorted(_DIST.glob(f"aod_*py{python}_*.deb"))
    assert found, f"no deb for Python {python} in {_DIST}: make deb"
    return found[-1]


def version(deb: Path) -> str:
    """Return the version that a package says it has."""
    return host.run(["dpkg-deb", "--field", deb, "Version"], timeout_s=30).strip()


def newer(deb: Path, folder: Path) -> Path:
    """Return the package with a higher version and another config file, as a release would be."""
    tree = folder / "tree"
    host.run(["dpkg-deb", "--raw-extract", deb, tree], timeout_s=120)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*", "Version: 99.0-1", control.read_text()))
    config = tree / "etc/aod/config.yaml"
    config.write_text(config.read_text() + "\n# A comment that came with 99.0.\n")
    next_deb = folder / "aod_99.0-1.deb"
    host.run(
        ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, next_deb],
        timeout_s=300,
    )
    return next_deb
