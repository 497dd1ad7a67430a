"""Tests of aod.smb.paths."""

import pytest

from aod.smb.paths import share_path


@pytest.mark.parametrize(
    ("server", "share", "path"),
    [
        ("nas01", "media", "//nas01/media"),
        ("", "media", "//?/media"),
        ("nas01", "", "//nas01"),
        ("", "", ""),
    ],
)
def test_a_share_is_written_as_a_mount_names_it(server: str, share: str, path: str) -> None:
    assert share_path(server, share) == path
