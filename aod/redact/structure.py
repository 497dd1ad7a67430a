r"""Replaces names by where they stand: `\\server\share`, `/folder/file`, `user=`, `Comm:`.

What the vocabulary has replaced before is marked, and part of a name here.
"""

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from aod.redact.marks import BEGIN, MARKS, marked, unmarked
from aod.redact.naming import Name, Naming, plain
from aod.redact.words import SYSTEM_ROOTS

Replace: TypeAlias = Callable[["Structure", re.Match[str]], str]
Rule: TypeAlias = tuple[str, Replace]
"""(pattern, what is done with what it matches)"""

_NO_NAMES = frozenset({"(null)", "?", "-", "(none)", "none", "null", "unknown", "*"})


class Rules:
    """Rules as one expression that goes once through a text; of those at one place the first holds.

    Each group has a gate, without which none of its rules can match: few are tried at a place.
    """

    def __init__(self, *groups: tuple[str, Sequence[Rule]]) -> None:
        self._rules: list[tuple[re.Pattern[str], Replace]] = []
        self.whole = re.compile("|".join(self._joined(*group) for group in groups), re.M)

    def of(self, match: re.Match[str]) -> tuple[re.Pattern[str], Replace]:
        """Return the rule of a match of the whole; only its own pattern has the groups' names."""
        assert match.lastgroup
        return self._rules[int(match.lastgroup[1:])]

    def _joined(self, gate: str, rules: Sequence[Rule]) -> str:
        """Return the pattern of a group; rule N is its group rN, the groups within are renamed."""
        alternatives = []
        for pattern, replace in rules:
            index = len(self._rules)
            self._rules.append((re.compile(pattern, re.M), replace))
            own = re.sub(r"\(\?P(<|=)(\w+)", rf"(?P\1i{index}\2", pattern)
            alternatives.append(f"(?P<r{index}>{own})")
        return f"{gate}(?:{'|'.join(alternatives)})"


def keep(structure: "Structure", match: re.Match[str]) -> str:
    """Return what stands there as it is."""
    return match[0]


class Structure:
    """Replaces what stands where names stand, and marks it."""

    def __init__(self, naming: Naming, rules: Rules) -> None:
        self.naming = naming
        self._rules = rules

    def replace(self, text: str) -> str:
        """Return the text with what was found replaced."""
        return self._rules.whole.sub(self._found, text)

    def _found(self, match: re.Match[str]) -> str:
        pattern, replace = self._rules.of(match)
        if replace is keep:
            return match[0]
        inner = pattern.match(match.string, match.start())
        return replace(self, inner) if inner else match[0]

    def part(self, text: str, name: Name) -> str:
        """Return a name; where some of it was replaced before, the rest of it is one of its own."""
        return "".join(
            piece if not _has_word(piece) or piece[0] == BEGIN else marked(name(plain(piece)))
            for piece in MARKS.split(text)
        )

    def value(self, kind: str, text: str) -> str:
        """Return the value of a key, in the quotes that it has."""
        quote = text[0] if len(text) > 1 and text[0] in "\"'" and text[-1] == text[0] else ""
        inner = text[1:-1] if quote else text
        return f"{quote}{self._of_kind(kind, inner)}{quote}"

    def _of_kind(self, kind: str, text: str) -> str:
        if text in _NO_NAMES:
            return text
        if kind == "path" or text.startswith(("/", "\\")):
            return self.path(text)
        if kind == "user":
            return self.user(text)
        names: dict[str, Name] = {
            "server": self.naming.server,
            "process": self.naming.process,
            "domain": self.naming.domain,
            "share": self.naming.share,
        }
        return self.part(text, names[kind])

    def user(self, text: str) -> str:
        r"""Return `user`, `DOMAIN\user`, `user@domain` or a principal `service/host@REALM`."""
        domain, slashes, rest = re.fullmatch(r"(.*?)(\\*)([^\\]*)", text, re.S).groups()  # type: ignore[union-attr]  # always matches
        alone, at, realm = rest.partition("@")
        service, slash, host = alone.partition("/")
        known = service if slash else self.part(alone, self.naming.user)
        return "".join(
            (
                self.part(domain, self.naming.domain),
                slashes,
                known,
                slash,
                self.part(host, self.naming.server),
                at,
                self.part(realm, self.naming.domain),
            )
        )

    def path(self, text: str) -> str:
        """Return a path of this machine, of a share (with either slash), or one file's name."""
        if text.startswith(("\\\\", "//")):
            return self.unc(text)
        if text.startswith("/"):
            return text if SYSTEM_ROOTS.match(unmarked(text)) else self._parts(text, "/", [])
        if "\\" in text and not re.search(r"\\[0-7]{3}", text):
            return self._parts(text, "\\", [])
        return self._parts(text, "/", [])

    def unc(self, text: str) -> str:
        r"""Return `//server/share/path`, with either slash, single or doubled."""
        slash = text[0]
        rest = text.lstrip(slash)
        lead = slash * (len(text) - len(rest))
        return lead + self._parts(rest, slash, [self._host, self.naming.share])

    def _parts(self, text: str, separator: str, first: Sequence[Name]) -> str:
        """Return a path part by part; the `first` ones are no folders."""
        fields = re.split(f"({re.escape(separator)}+)", text)
        last = max((i for i in range(0, len(fields), 2) if fields[i]), default=0)

        def known(index: int, field: str) -> str:
            if index % 2:
                return field
            if index // 2 < len(first):
                return self.part(field, first[index // 2])
            return self.part(field, lambda name: self.naming.component(name, last=index == last))

        return "".join(known(index, field) for index, field in enumerate(fields))

    def _host(self, text: str) -> str:
        before, at, rest = text.rpartition("@")
        host, colon, port = rest.partition(":")
        user = self.naming.user(before) if before else ""
        return f"{user}{at}{self.naming.server(host)}{colon}{port}"


def _has_word(text: str) -> bool:
    return any(map(str.isalnum, text))
