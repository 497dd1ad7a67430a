"""What the tests of bundles share: a disk that is soon full."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aod.bundle import OutputDirectory
from tests.disk import small_disk


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[OutputDirectory]:
    """An output directory on a filesystem of 256 KiB."""
    with small_disk(tmp_path / "tiny", kib=256) as mount, OutputDirectory.open(mount) as opened:
        yield opened
