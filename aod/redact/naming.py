"""What stands for what: a pseudonym for each kind of name, with what may stay of it."""

import ipaddress
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias
from urllib.parse import unquote

from aod.redact import words
from aod.redact.pseudonyms import Pseudonyms

FIRST_USER_ID = 1000
"""Users below it are the system's own (login.defs(5))."""
NOBODY = 65_534
UID_BASE = 1_000_000
"""user7 has the uid UID_BASE + 7 in a redacted bundle."""

Name: TypeAlias = Callable[[str], str]
"""Makes of a name what stands for it."""

_EDGES = re.compile(r"^([\W_]*)(.*?)([\W_]*)$", re.S)
_ESCAPES = re.compile(r"\\([0-7]{3})|\\x([0-9a-f]{2})")
_WILDCARDS = re.compile(r"[*?]*")
_OTHERS = "others"
UNIT_ENDINGS = (
    *("service", "scope", "slice", "socket", "mount", "automount"),
    *("timer", "target", "path", "swap", "device"),
)


class Naming:
    """Turns names into pseudonyms; `uids` has the names of users by their number."""

    def __init__(self, names: Pseudonyms, uids: dict[int, str] | None = None) -> None:
        self._names = names
        self._uids = uids or {}
        self._doubtful = False

    @contextmanager
    def doubtful(self) -> Iterator[None]:
        """Within it a name is a guess: replaced where it stands, and looked for nowhere else."""
        before, self._doubtful = self._doubtful, True
        try:
            yield
        finally:
            self._doubtful = before

    def issue(self, kind: str, name: str) -> str:
        """Return the pseudonym of a name between the signs at its edges: `~$`, `.`, `$`."""
        before, core, after = _split_edges(name)
        if not core:
            return name
        return f"{before}{self._names.pseudonym(kind, core, doubtful=self._doubtful)}{after}"

    def server(self, name: str) -> str:
        """Return what stands for a host's name, its name with a domain, or its address."""
        address = self.address(name)
        if address != name or not name or name.lower() in ("localhost", "localhost.localdomain"):
            return address
        if _is_address(name):
            return name
        label, dot, domain = name.partition(".")
        known = self.issue("server", label) if label else ""
        return known + (dot + self.domain(domain) if domain else dot)

    def domain(self, name: str) -> str:
        """Return what stands for a domain; that of a cloud stays."""
        if words.PUBLIC_DOMAINS.fullmatch(name.lower()):
            return name
        known = self.issue("domain", name)
        short, dot, _ = name.partition(".")
        if dot:  # CORP of corp.example
            self.issue("domain", short)
        return known

    def share(self, name: str) -> str:
        """Return what stands for a share; every server has the share IPC$."""
        return name if name.upper() == "IPC$" else self.issue("share", name)

    def user(self, name: str) -> str:
        """Return what stands for a user."""
        return name if name in words.USERS else self.issue("user", name)

    def uid(self, number: int) -> int:
        """Return a number that has the number of the user's pseudonym; the system's users stay."""
        if number < FIRST_USER_ID or number >= 0xFFFFFFFE or number == NOBODY:
            return number
        known = self._names.pseudonym("user", self._uids.get(number) or f"uid {number}")
        digits = known.lstrip("abcdefghijklmnopqrstuvwxyz")
        return UID_BASE + int(digits)

    def process(self, name: str) -> str:
        """Return what stands for a process; the kernel's own threads stay."""
        if not name or words.KERNEL_THREADS.fullmatch(name):
            return name
        return self._names.pseudonym("process", name, doubtful=self._doubtful)

    def file(self, name: str) -> str:
        """Return what stands for a file; an ending that is a usual one stays."""
        stem, dot, ending = name.rpartition(".")
        if (
            dot and not stem and ending.lower() in words.EXTENSIONS
        ):  # what comes before was replaced
            return name
        if stem.strip(".") and ending.lower() in words.EXTENSIONS:
            return f"{self.issue('file', stem)}{dot}{ending}"
        return self.issue("file", name)

    def component(self, name: str, *, last: bool) -> str:
        """Return what stands for one part of a path."""
        if name in words.FOLDERS or not name.strip("."):
            return name
        return self.file(name) if last else self.issue("folder", name)

    def unit(self, name: str) -> str:
        """Return what stands for a unit; its ending stays."""
        base, dot, ending = name.rpartition(".")
        if dot and not base and ending in UNIT_ENDINGS:  # what comes before was replaced
            return name
        if words.UNITS.fullmatch(base) or words.UNITS.fullmatch(name):
            return name
        if user := re.fullmatch(r"(user[-@])(\d{1,10})", base):
            return f"{user[1]}{self.uid(int(user[2]))}{dot}{ending}"
        if ending not in UNIT_ENDINGS:
            return self.issue("unit", name)
        return f"{self.issue('unit', base)}{dot}{ending}"

    def mac(self, name: str) -> str:
        """Return what stands for a hardware address."""
        return self._names.pseudonym("mac", name)

    def guid(self, name: str) -> str:
        """Return what stands for a GUID, as of a pod or a filesystem."""
        return self._names.pseudonym("guid", name.replace("_", "-"))

    def sid(self, name: str) -> str:
        """Return what stands for a security identifier of a domain."""
        return self._names.pseudonym("sid", name)

    def address(self, text: str) -> str:
        """Return what stands for an address; loopback and no address at all stay."""
        bare, percent, zone = text.partition("%")
        try:
            address = ipaddress.ip_address(bare)
        except ValueError:
            return text
        if address.is_loopback or address.is_unspecified:
            return text
        return self._names.pseudonym("address", str(address)) + percent + zone

    def pattern(self, kind: str, text: str) -> str:
        """Return a pattern of the config: a part with wildcards is a name like any other."""
        sign, rest = ("!", text[1:]) if text.startswith("!") else ("", text)
        if kind == "process":
            return sign + (rest if _WILDCARDS.fullmatch(rest) else self.process(rest))
        parts = rest.replace("\\", "/").split("/")
        kinds = (*("", "", "server", "share"), *["folder"] * len(parts))
        if len(parts) < 3 or parts[:2] != ["", ""]:
            return sign + (rest if rest == _OTHERS else self.issue("share", rest))
        return sign + "/".join(
            part if not part or _WILDCARDS.fullmatch(part) else self._part(kind, part)
            for kind, part in zip(kinds, parts, strict=False)
        )

    def _part(self, kind: str, part: str) -> str:
        return self.server(part) if kind == "server" else self.issue(kind, part)


def plain(text: str) -> str:
    r"""Return a name without the escapes of mount tables (`\040`), units (`\x20`) and URLs."""
    if "\\" in text:
        text = _ESCAPES.sub(lambda m: chr(int(m[1], 8) if m[1] else int(m[2], 16)), text)
    return unquote(text, errors="surrogateescape") if "%" in text else text


def core(name: str) -> str:
    """Return a name without the signs at its edges."""
    return _split_edges(name)[1]


def _split_edges(name: str) -> tuple[str, str, str]:
    match = _EDGES.match(name)
    assert match  # all of it may be empty
    return match[1], match[2], match[3]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True
