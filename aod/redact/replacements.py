"""What a rule does with what stands where its pattern has matched."""

import re
from collections.abc import Callable

from aod.redact.naming import Name, Naming
from aod.redact.structure import Replace, Structure
from aod.redact.words import CONFIG_KEYS, EXTENSIONS, PROGRAMS, PUBLIC_SITES

_SOURCES = frozenset({"c", "h", "s", "ko"})


def path(structure: Structure, match: re.Match[str]) -> str:
    """Return a path, but not that of a site where programs send their readers to."""
    path = match[0].rstrip(".")
    if PUBLIC_SITES.match(path):
        return match[0]
    return structure.path(path) + match[0][len(path) :]


def quoted(structure: Structure, match: re.Match[str]) -> str:
    """Return a path in its quotes, which may hold blanks."""
    return match["quote"] + structure.path(match["path"]) + match["quote"]


def listed(structure: Structure, match: re.Match[str]) -> str:
    """Return a share as DebugData and Stats list it."""
    server = structure.part(match["server"], structure.naming.server)
    share = structure.part(match["share"], structure.naming.share)
    return f"{match['before']}\\\\{server}\\{share}"


def uid(structure: Structure, match: re.Match[str]) -> str:
    """Return a user's number, in the base in which it stands."""
    text = match["number"]
    is_hex = text[:2].lower() == "0x"
    known = structure.naming.uid(int(text, 16 if is_hex else 10))
    return f"{match['before']}{known:#x}" if is_hex else f"{match['before']}{known}"


def windows_user(structure: Structure, match: re.Match[str]) -> str:
    r"""Return `DOMAIN\user`; in lower case it may as well be a path."""
    if match["domain"].isupper():
        return structure.user(match[0])
    with structure.naming.doubtful():
        return structure.user(match[0])


def dotted(structure: Structure, match: re.Match[str]) -> str:
    """Take it for a file or for a host in its domain, by its ending; the kernel's sources stay."""
    text = match[0]
    if CONFIG_KEYS.fullmatch(text):
        return text
    ending = text.rpartition(".")[2].lower()
    if ending in _SOURCES or text.startswith(("org.freedesktop.", "fi.w1.", "cifs.")):
        return text
    is_file = ending in EXTENSIONS
    with structure.naming.doubtful():
        return structure.part(text, structure.naming.file if is_file else structure.naming.server)


def process(structure: Structure, match: re.Match[str]) -> str:
    """Return a process's name; that of a program of the system stays."""
    name = match["name"]
    known = name if PROGRAMS.fullmatch(name) else structure.part(name, structure.naming.process)
    return match["before"] + known


def perhaps_process(structure: Structure, match: re.Match[str]) -> str:
    """Return what is likely the name of a process."""
    with structure.naming.doubtful():
        return process(structure, match)


def left_out(structure: Structure, match: re.Match[str]) -> str:
    """Leave out what nobody can take apart."""
    return f"{match['before']}[left out]"


def name(get: Callable[[Naming], Name]) -> Replace:
    """Return the function of a rule whose `name` is a name, or all that it matches."""

    def replace(structure: Structure, match: re.Match[str]) -> str:
        if not match.re.groupindex:
            return structure.part(match[0], get(structure.naming))
        return match["before"] + structure.part(match["name"], get(structure.naming))

    return replace


def user(structure: Structure, match: re.Match[str]) -> str:
    """Return a user's name, with its domain."""
    if match.re.groupindex:
        return match["before"] + structure.user(match["name"])
    return structure.user(match[0])


def valued(structure: Structure, match: re.Match[str]) -> str:
    """Return what a key names; of a key that names nothing the value is free text."""
    kind = _KINDS.get(match["key"].lower())
    value = match["value"]
    return match["before"] + (structure.value(kind, value) if kind else structure.replace(value))


_KINDS = {
    key: kind
    for kind, keys in {
        "user": "user username ruser logname acct principal login",
        "server": "host hostname server server_name servername rhost workstation nodename",
        "process": "comm proc process prog program task",
        "domain": "domain dom realm workgroup",
        "share": "share share_name sharename",
        "path": "unc path prefixpath file filename name dir exe cwd source devname full_path",
    }.items()
    for key in keys.split()
}
"""What the value of a key is, in `key=value` and in JSON."""
