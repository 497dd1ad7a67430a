"""`AOD_*` environment variables as config values: `__` goes one level down, lists are JSON.

The source of pydantic-settings does not serve. It asks for the variables of the keys that it
knows, so that a misspelt one is never seen; below a name of the user's choice (an anomaly's) it
leaves `50` a text; it ends at the first value that is no JSON; and it does not say which
variable a value came from.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from aod.config.yamlsource import KeyPath, Values

PREFIX = "AOD_"
NOT_CONFIG = frozenset({"AOD_LOG_LEVEL"})
SHORT_FORMS: Mapping[str, KeyPath] = {"AOD_OUTPUT_DIR": ("aod_output_dir",)}
"""The only name of the key: the long form, AOD_AOD_OUTPUT_DIR, is unknown."""


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the environment says: `variables` has the variable of every value it sets."""

    values: Values = field(default_factory=dict)
    variables: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def put(self, variable: str, path: KeyPath, value: JsonValue) -> None:
        """Set a value; a variable on a level below one that holds no section is a problem."""
        place = self.values
        for part in path[:-1]:
            below = place.setdefault(str(part), {})
            if not isinstance(below, dict):
                self.problems.append(
                    f"{variable}: contradicts the variable for {str(part).upper()}"
                )
                return
            place = below
        place[str(path[-1])] = value
        self.variables[path] = variable


def read(environ: Mapping[str, str]) -> Overrides:
    """Collect the overrides; a name that is no key stays in the values, to be refused there."""
    overrides = Overrides()
    for variable in sorted(environ):  # AOD_A before AOD_A__B: the section before its parts
        if not variable.startswith(PREFIX) or variable in NOT_CONFIG:
            continue
        path = path_of(variable)
        if path is None:
            overrides.problems.append(_refusal(variable))
        else:
            overrides.put(variable, path, _value(environ[variable]))
    return overrides


def merged(values: Values, over: Values) -> Values:
    """Return values with those of `over` in their place; of two sections, key by key."""
    result = dict(values)
    for key, value in over.items():
        below = result.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            value = merged(below, value)
        result[key] = value
    return result


def variable_of(path: KeyPath) -> str:
    """Return the name of the variable that overrides a key."""
    for variable, short_path in SHORT_FORMS.items():
        if path == short_path:
            return variable
    return PREFIX + "__".join(str(part).upper() for part in path)


def path_of(variable: str) -> KeyPath | None:
    """Return the key that a variable overrides, or None where it cannot be one."""
    if variable in SHORT_FORMS:
        return SHORT_FORMS[variable]
    path = tuple(variable.removeprefix(PREFIX).lower().split("__"))
    return None if variable != variable.upper() or path in SHORT_FORMS.values() else path


def _refusal(variable: str) -> str:
    path = tuple(variable.removeprefix(PREFIX).lower().split("__"))
    return f"{variable}: unknown variable, did you mean {variable_of(path)!r}?"


def _value(text: str) -> JsonValue:
    """Read `50`, `true` and `["dmesg"]` as JSON, and what is not JSON as text."""
    try:
        value: JsonValue = json.loads(text)
        return value
    except (ValueError, RecursionError):
        return text
