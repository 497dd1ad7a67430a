"""The kinds of values that a config has, each with its check and the words for what is allowed."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from aod.detectors import AnomalyType
from aod.schema import shown

NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
MAX_PORT = 65_535
MAX_PATH_CHARS = 1024
MAX_ARGUMENTS = 64


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError(
            f"{shown(value)} is not allowed as a name (allowed: a small letter, then small "
            "letters, digits, _ and -, at most 32)"
        )
    if value == AnomalyType.MANUAL:
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
    """Return whether only this machine can reach an address."""
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


Directory = Annotated[Path, BeforeValidator(as_directory)]
CommandLine = Annotated[tuple[str, ...], BeforeValidator(_command_line)]
Address = Annotated[str, BeforeValidator(_address)]
Textfile = Annotated[Path, BeforeValidator(_textfile)]
Name = Annotated[str, AfterValidator(_name)]
