"""Finds known names in text: linear in the text, however many names there are.

A name is found where its words begin and end at word boundaries, in any case, and also when it
is escaped as in a mount table, in JSON, in a URL or in a unit's name.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import quote, quote_plus

from aod.redact.marks import marked
from aod.redact.naming import core
from aod.redact.pseudonyms import COMM_BYTES, kind_of
from aod.redact.words import PLAIN, PROGRAMS

SHORTEST = 3
"""Characters of a name that is looked for in free text."""
KINDS = frozenset({"server", "share", "user", "process", "file", "folder", "domain", "unit"})

_PIECES = re.compile(r"[^\W_]+|[\W_]+")
_WORDS = re.compile(r"[^\W_]+")
Found: TypeAlias = tuple[bool, str]
"""(whether the sign of an escape stands before the first word, pseudonym)"""

_SIGNS = "\\%"


@dataclass(slots=True)
class _Node:
    """Where one gets by the pieces of a name, and the name that ends here.

    `cut_off` has the names of which the last word is cut off here: {its length: {its beginning}}.
    """

    after: dict[str, "_Node"] = field(default_factory=dict)
    name: Found | None = None
    cut_off: dict[int, dict[str, Found]] = field(default_factory=dict)


class Vocabulary:
    """The names of a map, as a tree of their pieces: words, and what stands between them."""

    def __init__(self) -> None:
        self._tree = _Node()

    def add(self, names: Iterable[tuple[str, str]]) -> None:
        """Add (pseudonym, name) of those that differ from plain words."""
        for pseudonym, name in names:
            kind = kind_of(pseudonym)
            if kind not in KINDS or not _is_distinct(name):
                continue
            for form in _forms(core(name)):
                bare = form.lstrip(_SIGNS)
                self._add(_PIECES.findall(_lower(bare)), (bare != form, pseudonym))
            if kind == "process" and len(name.encode(errors="replace")) >= COMM_BYTES:
                self._add_open(_PIECES.findall(_lower(core(name))), (False, pseudonym))

    def replace(self, text: str) -> str:
        """Return the text with every known name marked and replaced, the longest first."""
        low = _lower(text)
        parts: list[str] = []
        done = 0
        for begin in self._beginnings(low):
            if begin < done:
                continue
            if found := self._longest(low, begin):
                end, (is_escaped, pseudonym) = found
                before = text[done:begin]
                parts += (before.rstrip(_SIGNS) if is_escaped else before, marked(pseudonym))
                done = end
        parts.append(text[done:])
        return "".join(parts)

    def _beginnings(self, low: str) -> list[int]:
        """Return where a word stands with which a name begins, in order."""
        cut_off = self._tree.cut_off.items()
        words = {
            word
            for word in set(_WORDS.findall(low))
            if word in self._tree.after or any(word[:length] in names for length, names in cut_off)
        }
        return sorted(begin for word in words for begin in _beginnings_of(word, low))

    def _longest(self, low: str, begin: int) -> tuple[int, Found] | None:
        node, found = self._tree, None
        position = begin
        while piece := _PIECES.match(low, position):
            position = piece.end()
            for length, cut_off in node.cut_off.items():
                if name := cut_off.get(piece[0][:length]):
                    found = position, name
            if piece[0] not in node.after:
                break
            node = node.after[piece[0]]
            if node.name:
                found = position, node.name
        return found

    def _add(self, pieces: list[str], name: Found) -> None:
        node = self._reach(pieces)
        node.name = node.name or name

    def _add_open(self, pieces: list[str], name: Found) -> None:
        """Add a name of which the kernel has kept the first 15 bytes only."""
        same_length = self._reach(pieces[:-1]).cut_off.setdefault(len(pieces[-1]), {})
        same_length.setdefault(pieces[-1], name)

    def _reach(self, pieces: list[str]) -> _Node:
        node = self._tree
        for piece in pieces:
            node = node.after.setdefault(piece, _Node())
        return node


def _beginnings_of(word: str, text: str) -> Iterator[int]:
    """Yield where a word stands in a text as a word."""
    at = text.find(word)
    while at >= 0:
        end = at + len(word)
        if not (at and text[at - 1].isalnum()) and not text[end : end + 1].isalnum():
            yield at
        at = text.find(word, end)


def _is_distinct(name: str) -> bool:
    bare = core(name)
    if PROGRAMS.fullmatch(bare):
        return False
    return len(bare) >= SHORTEST and not bare.isdigit() and bare.lower() not in PLAIN


def _forms(name: str) -> set[str]:
    in_table = "".join(f"\\{ord(c):03o}" if c in " \t\n\\#" else c for c in name)
    in_unit = "".join(
        c
        if c.isascii() and (c.isalnum() or c in ":_.")
        else "".join(f"\\x{b:02x}" for b in _utf8(c))
        for c in name
    )
    in_json = json.dumps(name)[1:-1]
    in_url: list[Callable[[bytes], str]] = [quote, quote_plus]
    composed = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
    quoted = (form(_utf8(name)) for form in in_url)
    return {name, in_table, in_unit, in_json, in_json.replace("\\", "\\\\"), *composed, *quoted}


def _utf8(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _lower(text: str) -> str:
    """Return the text in lower case, of the same length."""
    low = text.lower()
    if len(low) == len(text):
        return low
    return "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
