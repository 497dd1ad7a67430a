"""Finds known names in text: linear in the text, however many names there are.

A name is found where its words begin and end at word boundaries, in any case, and also when it
is escaped as in a mount table, in JSON, in a URL or in a unit's name.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias
from urllib.parse import quote, quote_plus

from aod.redact.namemap import COMM_BYTES, kind_of
from aod.redact.naming import core
from aod.redact.words import PLAIN, PROGRAMS

SHORTEST = 3
"""Characters of a name that is looked for in free text."""
KINDS = frozenset({"server", "share", "user", "process", "file", "folder", "domain", "unit"})

BEGIN, END = "\ue000", "\ue001"
"""Around a pseudonym, so that no later rule takes it for a name."""

_PIECES = re.compile(r"[^\W_]+|[\W_]+")
_WORDS = re.compile(r"[^\W_]+")
Found: TypeAlias = tuple[bool, str]
"""(whether the sign of an escape stands before the first word, pseudonym)"""

_SIGNS = "\\%"

_NAME = ""
_OPEN = " open"
"""Keys of a node: the pseudonym that ends here; the names whose last word is cut off here."""


class Vocabulary:
    """The names of a map, as a tree of their pieces: words, and what stands between them."""

    def __init__(self) -> None:
        self._tree: dict[str, Any] = {}

    def add(self, names: Iterable[tuple[str, str]]) -> None:
        """Add (pseudonym, name) of those that can be told from plain words."""
        for pseudonym, name in names:
            kind = kind_of(pseudonym)
            if kind not in KINDS or not _is_telling(name):
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
                parts += (before.rstrip(_SIGNS) if is_escaped else before, BEGIN, pseudonym, END)
                done = end
        parts.append(text[done:])
        return "".join(parts)

    def _beginnings(self, low: str) -> list[int]:
        """Return where a word stands with which a name begins, in order."""
        cut_off = self._tree.get(_OPEN, _NOTHING).items()
        words = {
            word
            for word in set(_WORDS.findall(low))
            if word in self._tree or any(word[:length] in names for length, names in cut_off)
        }
        return sorted(place for word in words for place in _places(word, low))

    def _longest(self, low: str, begin: int) -> tuple[int, Found] | None:
        node, found = self._tree, None
        position = begin
        while piece := _PIECES.match(low, position):
            position = piece.end()
            for length, cut_off in node.get(_OPEN, _NOTHING).items():
                if name := cut_off.get(piece[0][:length]):
                    found = position, name
            node = node.get(piece[0], _NOTHING)
            if not node:
                break
            if name := node.get(_NAME):
                found = position, name
        return found

    def _add(self, pieces: list[str], name: Found) -> None:
        node = self._tree
        for piece in pieces:
            node = node.setdefault(piece, {})
        node.setdefault(_NAME, name)

    def _add_open(self, pieces: list[str], name: Found) -> None:
        """Add a name of which the kernel has kept the first 15 bytes only."""
        node = self._tree
        for piece in pieces[:-1]:
            node = node.setdefault(piece, {})
        same_length = node.setdefault(_OPEN, {}).setdefault(len(pieces[-1]), {})
        same_length.setdefault(pieces[-1], name)


def _places(word: str, text: str) -> Iterator[int]:
    """Yield where a word stands in a text as a word."""
    at = text.find(word)
    while at >= 0:
        end = at + len(word)
        if not (at and text[at - 1].isalnum()) and not text[end : end + 1].isalnum():
            yield at
        at = text.find(word, end)


_NOTHING: dict[str, Any] = {}


def unmarked(text: str) -> str:
    """Return a text whose names were replaced, without the marks."""
    return text.replace(BEGIN, "").replace(END, "")


def _is_telling(name: str) -> bool:
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
