"""Types that come with aod are used for just the kernel that they were made of."""

from pathlib import Path

import pytest

from aod.tracer.btf import SHIPPED, shipped_btf


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A folder with the types of one kernel."""
    (tmp_path / "5.10.0-46-amd64.btf").touch()
    return tmp_path


def test_a_kernel_gets_the_types_that_were_made_of_it(directory: Path) -> None:
    assert shipped_btf("5.10.0-46-amd64", directory) == directory / "5.10.0-46-amd64.btf"


@pytest.mark.parametrize("release", ["5.10.0-45-amd64", "5.10.0-46", "5.10.0-46-rt-amd64", ""])
def test_a_kernel_that_is_not_the_same_gets_none(directory: Path, release: str) -> None:
    assert shipped_btf(release, directory) is None


def test_types_of_a_kernel_are_shipped() -> None:
    files = list(SHIPPED.glob("*.btf"))

    assert files
    assert [shipped_btf(file.stem) for file in files] == files
