"""Facts of SMB2/3: command names, NTSTATUS names, and the errno of a status."""

import csv
import enum
import errno
import functools
from dataclasses import dataclass
from importlib import resources

PENDING = 0x00000103
LOWEST_ERROR = 0x80000000
"""Statuses below are success or information by their severity bits (MS-ERREF 2.3)."""


class Command(enum.IntEnum):
    """SMB2 commands by their code on the wire (MS-SMB2 2.2.1)."""

    SMB2_NEGOTIATE = 0
    SMB2_SESSION_SETUP = 1
    SMB2_LOGOFF = 2
    SMB2_TREE_CONNECT = 3
    SMB2_TREE_DISCONNECT = 4
    SMB2_CREATE = 5
    SMB2_CLOSE = 6
    SMB2_FLUSH = 7
    SMB2_READ = 8
    SMB2_WRITE = 9
    SMB2_LOCK = 10
    SMB2_IOCTL = 11
    SMB2_CANCEL = 12
    SMB2_ECHO = 13
    SMB2_QUERY_DIRECTORY = 14
    SMB2_CHANGE_NOTIFY = 15
    SMB2_QUERY_INFO = 16
    SMB2_SET_INFO = 17
    SMB2_OPLOCK_BREAK = 18
    SMB2_SERVER_TO_CLIENT_NOTIFICATION = 19


QUIET: dict[int, Command | None] = {
    0xC0000016: Command.SMB2_SESSION_SETUP,  # more processing required: a login's steps
    0x80000006: Command.SMB2_QUERY_DIRECTORY,  # no more files: the end of a listing
    0xC0000011: Command.SMB2_READ,  # end of file
    0x80000005: None,  # buffer overflow: there is more to fetch
    0xC0000225: Command.SMB2_IOCTL,  # no such referral or interface list
    0xC0000034: Command.SMB2_CREATE,  # name not found: every look-up of a missing file
}
"""Statuses that are no error, on one command or (None) on all."""


QUIET_ERRORS = frozenset(
    {
        errno.ENOENT,  # a look-up that the client's cache answers
        errno.EEXIST,  # the same, of a name that is to be made
        errno.ENOTDIR,  # a path that the program has wrong
        errno.EISDIR,
        errno.ENAMETOOLONG,
        errno.EREMOTE,  # cifs' own sign for a DFS link, which it follows then
        errno.EXDEV,  # a server-side copy that cannot be: the program copies by itself
        errno.EOPNOTSUPP,  # xattrs, ACLs, fallocate that the share does not have
        errno.ENOSYS,
        errno.ENOTTY,  # an ioctl that cifs does not know
        errno.EINVAL,  # an argument that cifs refuses: the program's trouble, not the share's
        errno.ENODATA,  # an xattr that is not there
        errno.ERANGE,  # a buffer for xattrs that is too small: the program asks again
        errno.EAGAIN,  # try again: a lock that another process holds
        errno.ECHILD,  # a look-up under RCU that has to leave it first
        errno.EINTR,  # a signal, and the kernel's own words for one (include/linux/errno.h):
        512,  # ERESTARTSYS
        513,  # ERESTARTNOINTR
        514,  # ERESTARTNOHAND
        516,  # ERESTART_RESTARTBLOCK
        515,  # ENOIOCTLCMD: becomes ENOTTY
        518,  # EOPENSTALE: the path is walked once more
        524,  # ENOTSUPP: becomes EOPNOTSUPP
        529,  # EIOCBQUEUED: an async operation has begun
    }
)
"""Positive errnos that are no error of an operation which failed without any request."""


@dataclass(frozen=True, slots=True)
class Status:
    """One NTSTATUS; `error` is the positive errno that Linux makes of it, 0 for success."""

    code: int
    name: str
    error: int


@functools.cache
def statuses() -> dict[int, Status]:
    """Return the status table by code; the first of several names is the status's name.

    Source: data/ntstatus.csv (fs/smb/client/smb2maperror.c of Linux 7.3).
    """
    table: dict[int, Status] = {}
    for code, name, error in _rows():
        table.setdefault(code, Status(code, name, error))
    return table


@functools.cache
def status_codes() -> dict[str, int]:
    """Return the code of every status name, aliases included."""
    return {name: code for code, name, _ in _rows()}


def status_name(code: int) -> str:
    """Return the name of a status, or its code in hex when it has none."""
    known = statuses().get(code)
    return known.name if known else f"0x{code:08X}"


def status_error(code: int) -> int:
    """Return the positive errno of a status: 0 for success, EIO when unlisted."""
    known = statuses().get(code)
    if known:
        return known.error
    return errno.EIO if code >= LOWEST_ERROR else 0


def command_name(code: int) -> str:
    """Return `SMB2_READ` and so on, or `SMB2_<code>` for a code without a name."""
    try:
        return Command(code).name
    except ValueError:
        return f"SMB2_{code}"


def error_name(error: int) -> str:
    """Return the name of a positive or negative errno, and "" for 0."""
    return errno.errorcode.get(abs(error), str(abs(error))) if error else ""


def _rows() -> list[tuple[int, str, int]]:
    text = resources.files("aod").joinpath("data/ntstatus.csv").read_text(encoding="ascii")
    return [
        (int(code, 16), name, getattr(errno, error[1:]) if error != "0" else 0)
        for code, name, error in csv.reader(text.splitlines())
    ]
