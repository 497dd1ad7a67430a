"""What pydantic found wrong, in words a user can act on: place, key, value, what is allowed."""

import reprlib
import types
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from aod import detectors
from aod.config import environment, yamlsource
from aod.config.yamlsource import KeyPath
from aod.schema import guess, one_of, shown

_PLAIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"


@dataclass(frozen=True, slots=True)
class Origins:
    """Where the values of a config came from: a file's lines and the environment."""

    file: str
    document: yamlsource.Document
    overrides: environment.Overrides

    def of(self, path: KeyPath) -> str:
        """Return `FILE:LINE` or the variable that set a value or its nearest section."""
        for length in range(len(path), 0, -1):
            found = self.exact(path[:length]) or self._below(path[:length])
            if found:
                return found
        return self.file

    def exact(self, path: KeyPath) -> str | None:
        """Return what set just this value, None for a default."""
        for length in range(len(path), 0, -1):
            if variable := self.overrides.variables.get(path[:length]):
                return variable
        line = self.document.lines.get(path)
        return f"{self.file}:{line}" if line else None

    def _below(self, path: KeyPath) -> str | None:
        variables = self.overrides.variables.items()
        return next((name for key, name in variables if key[: len(path)] == path), None)


@dataclass(frozen=True, slots=True)
class _Problem:
    """One error: `keys` are those allowed in place of the key at `path`, which is none."""

    path: KeyPath
    message: str
    keys: tuple[str, ...] = ()


def problem_line(origins: Origins, path: KeyPath, message: str) -> str:
    """Return one problem as a line: `origin: key.path: message`."""
    return f"{origins.of(path)}: {key_text(path)}: {message}"


def explain(failure: ValidationError, model: type[BaseModel], origins: Origins) -> list[str]:
    """Return a line for each error of a validation, in the order of the file."""
    unread = origins.document.unread
    problems = [_explain_one(error, model) for error in failure.errors(include_url=False)]
    problems.sort(key=lambda problem: _nearest_line(origins.document, problem.path))
    return [
        _unknown_variable(problem, origins) or problem_line(origins, problem.path, problem.message)
        for problem in problems
        if problem.path not in unread or problem.path in origins.overrides.variables
    ]


def key_text(path: KeyPath) -> str:
    """Return `guardian.anomalies.latency.actions[0]` for the path of a value."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{_key(part)}" for part in path]
    return "".join(parts).removeprefix(".")


def _key(part: str) -> str:
    return part if part and all(char in _PLAIN for char in part) else reprlib.repr(part)


def _nearest_line(document: yamlsource.Document, path: KeyPath) -> int:
    lengths = range(len(path), 0, -1)
    return next((document.lines[path[:n]] for n in lengths if path[:n] in document.lines), 0)


def _explain_one(error: Any, model: type[BaseModel]) -> _Problem:
    location = tuple(part for part in error["loc"] if part != "[key]")
    path, steps = _walk(model, location)
    match error["type"]:
        case "value_error":
            return _Problem(path, str(error["ctx"]["error"]))
        case "extra_forbidden":
            return _unknown_key(path, _keys(steps[-2]))
        case "missing":
            return _Problem(path, f"is missing (allowed: {_allowed(steps[-1])})")
        case "union_tag_invalid" | "union_tag_not_found":
            tags = dict.fromkeys([*_members(steps[-1]), *detectors.known_types()])
            return _bad_type(path, list(tags), error["input"])
        case _ if names := _choices(steps[-1]):
            return _Problem(path, one_of(error["input"], names))
        case _:
            what = shown(error["input"])
            return _Problem(path, f"{what} is not allowed (allowed: {_allowed(steps[-1])})")


def _unknown_key(path: KeyPath, keys: tuple[str, ...]) -> _Problem:
    message = f"unknown key{guess(path[-1], keys)} (allowed: {', '.join(keys)})"
    return _Problem(path, message, keys)


def _unknown_variable(problem: _Problem, origins: Origins) -> str | None:
    """Say it in terms of variables where it was one that named an unknown key."""
    variable = origins.overrides.variables.get(problem.path)
    if variable is None or not problem.keys:
        return None
    known = [environment.variable_of((*problem.path[:-1], key)) for key in problem.keys]
    hint = guess(variable, [*known, *environment.NOT_CONFIG])
    return f"{variable}: unknown variable{hint} (allowed: {', '.join(known)})"


def _bad_type(path: KeyPath, tags: list[str], value: Any) -> _Problem:
    if isinstance(value, dict) and "type" in value:
        return _Problem((*path, "type"), one_of(value["type"], tags))
    return _Problem((*path, "type"), f"is missing (allowed: {', '.join(tags)})")


def _walk(model: type[BaseModel], location: KeyPath) -> tuple[KeyPath, list[Any]]:
    """Follow a location of pydantic's through the types; drop the tags of unions from it."""
    steps: list[Any] = [model]
    path: list[str | int] = []
    for part in location:
        here = _bare(steps[-1])
        members = _members(here)
        if part in members:
            steps[-1] = members[str(part)]
        else:
            path.append(part)
            steps.append(_step(here, part))
    return tuple(path), steps


def _step(here: Any, part: str | int) -> Any:
    if _is_model(here):
        return here.model_fields.get(part)
    arguments = get_args(here)
    return arguments[-1 if get_origin(here) is dict else 0] if arguments else None


def _bare(step: Any) -> Any:
    """Return the type of a field or of `Annotated[...]`, without the None of an optional."""
    kind = step.annotation if isinstance(step, FieldInfo) else step
    kind = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if get_origin(kind) in (Union, types.UnionType) and type(None) in get_args(kind):
        return get_args(kind)[0]
    return kind


def _members(union: Any) -> dict[str, type[BaseModel]]:
    """Return the models of a union discriminated by `type`, by their tags."""
    kind = _bare(union)
    if get_origin(kind) not in (Union, types.UnionType):
        return {}
    return {get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(kind)}


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _keys(step: Any) -> tuple[str, ...]:
    kind = _bare(step)
    return tuple(kind.model_fields) if _is_model(kind) else ()


def _choices(step: Any) -> tuple[str, ...]:
    kind = _bare(step)
    if kind is bool:
        return ("true", "false")
    return get_args(kind) if get_origin(kind) is Literal else ()


def _allowed(step: Any) -> str:
    extra = step.json_schema_extra if isinstance(step, FieldInfo) else None
    if isinstance(extra, dict) and "allowed" in extra:
        return str(extra["allowed"])
    kind = _bare(step)
    if keys := _keys(kind):
        return f"a section with the keys {', '.join(keys)}"
    if tags := list(_members(kind)):
        return f"a section with type {' or '.join(tags)}"
    names = {tuple: "a list", dict: "a section with a name for each entry"}
    return names.get(get_origin(kind), ", ".join(_choices(kind)) or "a text")
