"""The kinds of values that a config has, each with its check and the words for what is allowed."""

import errno
import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer

from aod import smb
from aod.actions import NAMES, known_names
from aod.schema import one_of, shown, unique
from aod.smb import Command

NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
SHARE = re.compile(r"(\\\\|//)([^/\\]+[/\\][^/\\]+|.*[*].*)|[*].*")
"""A share as a whole, or with a `*` that may stand for several parts."""
PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
MAX_PORT = 65_535
MAX_PATH_CHARS = 1024
MAX_ARGUMENTS = 64
COMM_CHARS = 15
"""What the kernel keeps of a thread's name (TASK_COMM_LEN - 1)."""
ERRORS = {name: getattr(errno, name) for name in dir(errno) if name.startswith("E")}
"""Every errno name, second names such as EWOULDBLOCK included, with its positive number."""


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError(
            f"{shown(value)} is not allowed as a name (allowed: a small letter, then small "
            "letters, digits, _ and -, at most 32)"
        )
    if value == "manual":
        raise ValueError("'manual' is taken by `aod collect` (allowed: another name)")
    return value


def as_directory(value: Any) -> Path:
    """Check the form of a directory's path; raise ValueError with what is allowed."""
    if not isinstance(value, str | Path) or not _is_clean(str(value)):
        raise ValueError(f"{shown(value)} is not allowed (allowed: an absolute path without ..)")
    return Path(value)


def _is_clean(path: str) -> bool:
    parts = path.split("/")
    is_plain = path.isprintable() and len(path) <= MAX_PATH_CHARS
    return is_plain and path[:1] == "/" and path.strip("/") != "" and ".." not in parts


def _textfile(value: Any) -> Path | None:
    if value is None:
        return None
    if (
        not isinstance(value, str | Path)
        or not _is_clean(str(value))
        or Path(value).suffix != ".prom"
    ):
        raise ValueError(
            f"{shown(value)} is not allowed (allowed: an absolute path without .. whose name "
            "ends in .prom, as node_exporter reads no other)"
        )
    return Path(value)


def as_address(value: Any) -> tuple[str, int]:
    """Split `127.0.0.1:9455` or `[::1]:9455`; raise ValueError with what is allowed."""
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    bare = host[1:-1] if host[:1] + host[-1:] == "[]" else host
    try:
        is_ipv6 = ipaddress.ip_address(bare).version == 6
    except ValueError:
        is_ipv6 = False
        bare = ""
    if not bare or is_ipv6 == (bare == host) or not PORT.fullmatch(port) or int(port) > MAX_PORT:
        raise ValueError(
            f"{shown(value)} is not allowed (allowed: an IP address and a port, such as "
            "127.0.0.1:9455 or [::1]:9455)"
        )
    return bare, int(port)


def is_loopback(value: str) -> bool:
    """Tell whether only this machine can reach an address."""
    return ipaddress.ip_address(as_address(value)[0]).is_loopback


def _address(value: Any) -> str | None:
    if value is None:
        return None
    as_address(value)
    return str(value)


def _command_line(value: Any) -> tuple[str, ...]:
    """Check a program with its arguments; none is an empty one."""
    parts = () if value is None else value
    if (
        not isinstance(parts, list | tuple)
        or len(parts) > MAX_ARGUMENTS
        or not all(isinstance(part, str) and part.isprintable() for part in parts)
        or (parts and not _is_clean(parts[0]))
    ):
        raise ValueError(
            f"{shown(value)} is not allowed (allowed: a list of the absolute path of a program "
            f"without .. and its arguments, texts of one line, at most {MAX_ARGUMENTS})"
        )
    return tuple(parts)


def is_action(value: Any) -> bool:
    """Return whether an action of that name is built in or installed."""
    return isinstance(value, str) and (value in NAMES or value in known_names())


def _action(value: Any) -> str:
    if not is_action(value):
        raise ValueError(one_of(value, known_names()))
    return str(value)


def _share(value: Any) -> str:
    if not _is_pattern(value) or not SHARE.fullmatch(value.removeprefix("!")):
        raise ValueError(
            f"{shown(value)} is not allowed (allowed: //server/share, with * for any text, ? for "
            "a character and [ab] for one of some; a leading ! excludes)"
        )
    return str(value)


def _process(value: Any) -> str:
    if not _is_pattern(value):
        raise ValueError(
            f"{shown(value)} is not allowed (allowed: the name of a process, with *, ? and [ab] "
            "as in a shell; a leading ! excludes)"
        )
    name = value.removeprefix("!")
    if len(name) > COMM_CHARS and not set(name) & set("*?["):
        raise ValueError(
            f"{shown(value)} is never met: the kernel keeps {COMM_CHARS} characters of a name "
            f"(allowed: {name[:COMM_CHARS]!r})"
        )
    return str(value)


def _is_pattern(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and value.removeprefix("!") != ""


def _command(value: Any) -> Command:
    if isinstance(value, Command):
        return value
    if not isinstance(value, str) or value not in Command.__members__:
        raise ValueError(one_of(value, Command.__members__))
    return Command[value]


def _code(value: Any) -> str:
    if not isinstance(value, str) or not (value in ERRORS or value in smb.status_codes()):
        kinds = "an errno name such as EACCES, or a status name such as STATUS_ACCESS_DENIED"
        raise ValueError(one_of(value, [*ERRORS, *smb.status_codes()], kinds))
    if value not in ERRORS and smb.status_codes()[value] < smb.LOWEST_ERROR:
        raise ValueError(f"{value} is no error: the server means success or a notice by it")
    return value


Directory = Annotated[Path, BeforeValidator(as_directory)]
CommandLine = Annotated[tuple[str, ...], BeforeValidator(_command_line)]
Address = Annotated[str, BeforeValidator(_address)]
Textfile = Annotated[Path, BeforeValidator(_textfile)]
Name = Annotated[str, AfterValidator(_name)]
Action = Annotated[str, BeforeValidator(_action)]
Actions = Annotated[tuple[Action, ...], AfterValidator(unique)]
Shares = Annotated[tuple[Annotated[str, BeforeValidator(_share)], ...], AfterValidator(unique)]
Processes = Annotated[tuple[Annotated[str, BeforeValidator(_process)], ...], AfterValidator(unique)]
CommandName = Annotated[
    Command, BeforeValidator(_command), PlainSerializer(lambda command: command.name)
]
Code = Annotated[str, BeforeValidator(_code)]
