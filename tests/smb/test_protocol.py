"""Facts of SMB, compared with what the errno module and the table say."""

import errno

import pytest

from aod import smb


@pytest.mark.parametrize(
    ("code", "name", "error"),
    [
        (0x00000000, "STATUS_SUCCESS", 0),
        (0xC0000022, "STATUS_ACCESS_DENIED", errno.EACCES),
        (0xC0000034, "STATUS_OBJECT_NAME_NOT_FOUND", errno.ENOENT),
        (0xC000007F, "STATUS_DISK_FULL", errno.ENOSPC),
        (0xC0000466, "STATUS_SERVER_UNAVAILABLE", errno.EAGAIN),  # unlisted in 6.1: EIO
        (0xC0FFFFFF, "0xC0FFFFFF", errno.EIO),
        (0x40FFFFFF, "0x40FFFFFF", 0),
    ],
)
def test_a_status_has_a_name_and_an_errno(code: int, name: str, error: int) -> None:
    assert (smb.status_name(code), smb.status_error(code)) == (name, error)


def test_every_name_in_the_table_leads_to_its_status() -> None:
    codes = smb.status_codes()

    assert {smb.statuses()[code].name for code in codes.values()} <= codes.keys()
    assert len(codes) > 1500


def test_every_errno_of_the_table_has_a_name() -> None:
    errors = {status.error for status in smb.statuses().values()} - {0}

    assert errors <= errno.errorcode.keys()


@pytest.mark.parametrize(("code", "name"), [(8, "SMB2_READ"), (77, "SMB2_77")])
def test_a_command_has_a_name(code: int, name: str) -> None:
    assert smb.command_name(code) == name


@pytest.mark.parametrize(
    ("error", "name"), [(0, ""), (-13, "EACCES"), (13, "EACCES"), (999, "999")]
)
def test_an_errno_has_a_name(error: int, name: str) -> None:
    assert smb.error_name(error) == name


def test_every_quiet_status_is_in_the_table() -> None:
    assert smb.QUIET.keys() <= smb.statuses().keys()
