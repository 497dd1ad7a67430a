"""What sections of the config are made of: numbers with bounds and units, words for the allowed."""

import difflib
import reprlib
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

MAX_GUESSES = 100
"""Names in one config that the likeliest is looked for: of 2000 codes that takes 3 ms."""


class Section(BaseModel):
    """A part of the config: unknown keys are refused, values cannot change."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def number(default: float | None, low: float, high: float, unit: str, description: str) -> Any:
    """Describe a number from `low` to `high`, both allowed; text and booleans are refused."""
    allowed = f"a number from {low} to {high}, in {unit}"
    return _number(default, low, high, f"{description} ({unit})", allowed)


def count(default: int, low: int, high: int, description: str) -> Any:
    """Describe a whole number from `low` to `high`, both allowed."""
    return _number(default, low, high, description, f"a whole number from {low} to {high}")


def _number(default: float | None, low: float, high: float, description: str, allowed: str) -> Any:
    return Field(
        default=default,
        ge=low,
        le=high,
        strict=True,
        validate_default=True,
        description=description,
        json_schema_extra={"allowed": allowed},
    )


def unique(values: tuple[Hashable, ...]) -> tuple[Hashable, ...]:
    """Return the values; raise ValueError if one is there twice."""
    if twice := [value for value, times in Counter(values).items() if times > 1]:
        raise ValueError(f"{text_of(twice)} given twice (allowed: once)")
    return values


def text_of(items: Iterable[Hashable]) -> str:
    """Return items as a user writes them."""
    return ", ".join(str(getattr(item, "name", item)) for item in items)


def shown(value: Any) -> str:
    """Return a value as short, printable YAML-like text."""
    if value is None:
        return "no value"
    return str(value).lower() if isinstance(value, bool) else reprlib.repr(value)


def one_of(value: Any, names: Iterable[str], allowed: str | None = None) -> str:
    """Say that a value is none of the names, with the likeliest one and all that are allowed."""
    known = list(names)
    hint = guess(value, known)
    return f"{shown(value)} is not allowed{hint} (allowed: {allowed or ', '.join(known)})"


def guess(value: Any, names: Sequence[str]) -> str:
    """Return `, did you mean 'x'?` for the name nearest to a value, or nothing."""
    return _hint(value[:64].casefold(), tuple(names)) if isinstance(value, str) else ""


def forget_guesses() -> None:
    """Allow for MAX_GUESSES more: once for each config."""
    _hint.cache_clear()


@lru_cache(2 * MAX_GUESSES)
def _hint(folded_value: str, names: tuple[str, ...]) -> str:
    if _hint.cache_info().misses > MAX_GUESSES:
        return ""
    folded = {name.casefold(): name for name in reversed(names)}
    near = difflib.get_close_matches(folded_value, folded, n=1)
    return f", did you mean {folded[near[0]]!r}?" if near else ""
