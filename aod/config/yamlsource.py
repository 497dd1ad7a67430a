"""A YAML file as plain values, with the line on which each of them stands."""

import os
import re
import stat
import warnings
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import TypeAlias

from pydantic import JsonValue
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from aod.errors import ConfigError
from aod.host import trust

KeyPath: TypeAlias = tuple[str | int, ...]
Values: TypeAlias = dict[str, JsonValue]
"""A section as it is written, before it is checked."""

MAX_BYTES = 256 << 10
MAX_VALUES = 10_000
MAX_DEPTH = 20
MAX_SCALAR_CHARS = 1024
MAX_OPEN = 100
"""Limits of a file; aliases count as often as they are used, so that few lines cannot explode."""

_BRACKET = re.compile(r"[][{}]")
_WORDS = trust.Words(
    owned="{path} belongs to uid {uid}, who can change it (chown root {path})",
    writable="{path} can be written by others (chmod go-w {path})",
)
_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str"))


@dataclass(frozen=True, slots=True)
class Document:
    """What a YAML file says.

    `lines` counts from 1; `problems` are (line, message); `unread` has the values that are
    None for such a problem, not because the file says so. `exposed` says who besides root and
    this user can change the file, and is empty when nobody can.
    """

    values: Values = field(default_factory=dict)
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[tuple[int, str]] = field(default_factory=list)
    unread: set[KeyPath] = field(default_factory=set)
    exposed: str = ""


def read(path: Path) -> Document:
    """Read a YAML file of at most MAX_BYTES; raise ConfigError if it is none."""
    try:
        content, exposed = _content(path)
        return replace(parse(content.decode("utf-8-sig"), str(path)), exposed=exposed)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}:{line}: not UTF-8 (save the file as UTF-8)"]) from error
    except PermissionError as error:
        raise ConfigError(
            [f"cannot read {path}: permission denied (run as root, or name one by --config)"]
        ) from error
    except OSError as error:
        raise ConfigError(
            [f"cannot read {path}: {error.strerror} (name one by --config)"]
        ) from error


def is_there(path: Path) -> bool:
    """Return whether there is a file; raise ConfigError where this user may not read it."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except PermissionError as error:
        raise ConfigError([f"cannot read {path}: permission denied (run as root)"]) from error
    except OSError:
        return False
    return True


def parse(text: str, name: str) -> Document:
    """Parse one YAML 1.2 document whose root is a mapping; raise ConfigError if it is none."""
    if _open_brackets(text) > MAX_OPEN:  # the parser's time goes with the square of it
        raise ConfigError([f"{name}: YAML syntax: nested too deeply"])
    yaml = YAML(typ="safe", pure=True)
    root = _compose(yaml, text, name)
    if root is None:
        raise ConfigError([f"{name}: is empty (start from the shipped config.yaml)"])
    if not isinstance(root, MappingNode):
        raise ConfigError([f"{name}:{_line(root)}: must consist of `key: value` lines"])
    reading = _Reading(yaml, name, Document())
    reading.mapping(root, (), reading.document.values)
    return reading.document


def _open_brackets(text: str) -> int:
    """Return how many brackets are open at most, whatever they stand in."""
    steps = (1 if found[0] in "[{" else -1 for found in _BRACKET.finditer(text))
    depths = accumulate(steps, lambda depth, step: max(0, depth + step), initial=0)
    return max(depths)


def _content(path: Path) -> tuple[bytes, str]:
    """Return what is in a file, and who can change it."""
    # O_NONBLOCK: a FIFO would otherwise hold the start until somebody writes to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ConfigError([f"cannot read {path}: not a regular file (name one by --config)"])
        content = os.read(descriptor, MAX_BYTES + 1)
        exposed = _exposed(descriptor)
    finally:
        os.close(descriptor)
    if len(content) > MAX_BYTES:
        raise ConfigError([f"{path}: is larger than {MAX_BYTES} bytes: that is no config"])
    return content, exposed


def _exposed(descriptor: int) -> str:
    """Return who can write the file, or put another in its place, or ""."""
    # Where the links led: those of a ConfigMap stand in a directory that all can write.
    file = Path(f"/proc/self/fd/{descriptor}").readlink()
    return trust.objection(file, os.fstat(descriptor), _WORDS) or trust.objection(
        file.parent, file.parent.stat(), _WORDS, may_be_sticky=True
    )


def _compose(yaml: YAML, text: str, name: str) -> Node | None:
    try:
        with warnings.catch_warnings(action="ignore"):  # a reused anchor is legal in YAML 1.2
            root: Node | None = yaml.compose(text)
            return root
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError([f"{name}:{line}: YAML syntax: {_syntax(error)}"]) from error
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError([f"{name}:{line}: YAML syntax: {error.reason}"]) from error
    except YAMLError as error:
        raise ConfigError([f"{name}: YAML syntax: {error}"]) from error
    except RecursionError as error:
        raise ConfigError([f"{name}: YAML syntax: nested too deeply"]) from error


def _syntax(error: MarkedYAMLError) -> str:
    words = ", ".join(part for part in (error.context, error.problem) if part)
    return f"{words} (indent by spaces, not tabs)" if "'\\t'" in words else words


def _line(node: Node) -> int:
    line: int = node.start_mark.line
    return line + 1


@dataclass(slots=True)
class _Reading:
    """One walk over the nodes of a document."""

    yaml: YAML
    name: str
    document: Document
    seen: int = 0

    def mapping(self, node: MappingNode, path: KeyPath, into: Values) -> None:
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self.problem(key_node, "a key must be a plain name")
            elif key_node.value in into:
                first = self.document.lines[*path, key_node.value]
                self.problem(key_node, f"duplicate key {key_node.value!r}, first on line {first}")
            else:
                self.document.lines[*path, key_node.value] = _line(key_node)
                into[key_node.value] = self.value(value_node, (*path, key_node.value))

    def value(self, node: Node, path: KeyPath) -> JsonValue:
        self.seen += 1
        if self.seen > MAX_VALUES or len(path) > MAX_DEPTH:
            where = f"{self.name}:{_line(node)}"
            raise ConfigError([f"{where}: too many or too deeply nested values: that is no config"])
        if isinstance(node, MappingNode):
            values: Values = {}
            self.mapping(node, path, values)
            return values
        if isinstance(node, SequenceNode):
            return [self.item(item, (*path, index)) for index, item in enumerate(node.value)]
        return self.scalar(node, path)

    def item(self, node: Node, path: KeyPath) -> JsonValue:
        self.document.lines[path] = _line(node)
        return self.value(node, path)

    def scalar(self, node: Node, path: KeyPath) -> JsonValue:
        if len(node.value) > MAX_SCALAR_CHARS:
            self.problem(node, f"a value of more than {MAX_SCALAR_CHARS} characters")
        elif node.tag == "tag:yaml.org,2002:timestamp":
            return str(node.value)
        elif node.tag not in _TAGS:
            self.problem(node, f"the tag {node.tag} is not allowed here")
        else:
            try:
                value: JsonValue = self.yaml.constructor.construct_object(node, deep=True)
                return value
            except (YAMLError, ValueError, LookupError):
                self.problem(node, f"{node.value[:40]!r} is not what its tag says")
        self.document.unread.add(path)
        return None

    def problem(self, node: Node, message: str) -> None:
        self.document.problems.append((_line(node), message))
