"""Makes wrong inputs out of right ones; the same generator gives the same ones."""

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

NUMBERS = (
    *("0", "-1", "1", "255", "65536", "4294967296", "18446744073709551615", "1e999", "1_000"),
    *("9" * 40, "9" * 5000, "0x" + "f" * 40, "-0.0", "nan", ".inf", "0b1", "\u0663"),
)
WORDS = (
    *("", "null", "~", "true", "[]", "{}", "\x00", "\x1b[2J", "\ufeff", "\u2028", "\udcff", "\xe9"),
    *("&a", "*a", "<<: *a", "!!python/object:os.system", "? ", "- ", "|\n", "%YAML 1.1\n", "---\n"),
    *('"', "'", "\\", "//", "\\\\", "..", "/" * 300, "x" * 3000, "\t", "\r\n", "#", ": ", "$(id)"),
)
DEPTH = 100_000
MAX_CHARS = 50_000
MAX_JSON_CHARS = 1_000_000
"""What is made longer is cut, or not taken: it must not take time because it is long."""

Mutator = Callable[[str, Random, Sequence[str]], str]


def text(sample: str, random: Random, tokens: Sequence[str] = ()) -> str:
    """Return a sample with some changes; `tokens` are words that mean something in it."""
    for _ in range(random.choice((1, 1, 1, 2, 3, 8, 30))):
        sample = random.choice(MUTATORS)(sample, random, tokens)[:MAX_CHARS]
    return sample


def data(sample: bytes, random: Random) -> bytes:
    """Return bytes with some changes."""
    changed = bytearray(sample)
    for _ in range(random.choice((1, 1, 2, 5, 20))):
        start, end = _span(changed, random)
        match random.randrange(5):
            case 0:
                changed[start : start + 1] = bytes([random.randrange(256)])
            case 1:
                del changed[start:end]
            case 2:
                changed[start:start] = changed[start:end]
            case 3:
                changed[start:end] = random.randbytes(end - start)
            case _:
                del changed[end:]
    return bytes(changed)


def value(sample: Any, random: Random) -> Any:
    """Return a JSON value in which some parts are of another kind, gone, or many."""
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        sample = _value(sample, random)
    return sample


def as_json(sample: Any, random: Random) -> bytes:
    """Return a mutated value as JSON, which is now and then none any more."""
    written = "x" * (MAX_JSON_CHARS + 1)
    while len(written) > MAX_JSON_CHARS:
        written = json.dumps(value(sample, random), ensure_ascii=random.random() < 0.5)
    match random.randrange(12):
        case 0:
            written = text(written, random)
        case 1:
            return data(written.encode(errors="surrogateescape"), random)
        case 2 if random.random() < 0.1:
            written = "[" * DEPTH
    return written.encode(errors="surrogateescape")


def _value(sample: Any, random: Random) -> Any:
    if isinstance(sample, dict) and sample and random.random() < 0.85:
        key = random.choice(list(sample))
        if random.random() < 0.15:
            return {name: each for name, each in sample.items() if name != key}
        return sample | {key: _value(sample[key], random)}
    if isinstance(sample, list) and sample and random.random() < 0.85:
        index = random.randrange(len(sample))
        changed = _value(sample[index], random)
        return [*sample[:index], changed, *sample[index + 1 :]]
    return _other(sample, random)


def _other(sample: Any, random: Random) -> Any:
    others: list[Any] = [None, True, 0, -1, 2**63, 10**30, 1.5, -1e308, float("nan"), float("inf")]
    others += [
        "",
        "x" * 2000,
        "\x1b]0;a\x07",
        "\udcff",
        [],
        {},
        [[]],
        [None],
        {"": {}},
        [sample] * 50,
    ]
    others += [{"latency_ns": "x"}, random.choice(NUMBERS), random.choice(WORDS), str(sample)]
    return random.choice(others)


def _span(sample: Sequence[Any], random: Random) -> tuple[int, int]:
    start = random.randrange(len(sample) + 1)
    return start, min(len(sample), start + random.choice((1, 2, 5, 20, 200)))


def _delete(sample: str, random: Random, _: Sequence[str]) -> str:
    start, end = _span(sample, random)
    return sample[:start] + sample[end:]


def _repeat(sample: str, random: Random, _: Sequence[str]) -> str:
    start, end = _span(sample, random)
    times = random.choice((2, 3, 50, 2000))
    return sample[:start] + sample[start:end] * times + sample[end:]


def _insert(sample: str, random: Random, tokens: Sequence[str]) -> str:
    start, _ = _span(sample, random)
    word = random.choice((*WORDS, *NUMBERS, *tokens))
    return sample[:start] + word + sample[start:]


def _flip(sample: str, random: Random, _: Sequence[str]) -> str:
    start, _end = _span(sample, random)
    return sample[:start] + chr(random.randrange(1, 0x250)) + sample[start + 1 :]


def _cut(sample: str, random: Random, _: Sequence[str]) -> str:
    start, _end = _span(sample, random)
    return sample[:start]


def _number(sample: str, random: Random, _: Sequence[str]) -> str:
    """Put another number in the place of one."""
    places = [i for i, char in enumerate(sample) if char.isdigit()]
    if not places:
        return sample
    start = end = random.choice(places)
    while end < len(sample) and sample[end].isalnum():
        end += 1
    return sample[:start] + random.choice(NUMBERS) + sample[end:]


def _lines(sample: str, random: Random, _: Sequence[str]) -> str:
    """Exchange, double or drop lines."""
    lines = sample.split("\n")
    first, second = random.randrange(len(lines)), random.randrange(len(lines))
    match random.randrange(3):
        case 0:
            lines[first], lines[second] = lines[second], lines[first]
        case 1:
            lines.insert(first, lines[second])
        case _:
            del lines[first]
    return "\n".join(lines)


def _word(sample: str, random: Random, tokens: Sequence[str]) -> str:
    """Put another word in the place of one."""
    words = sample.split(" ")
    words[random.randrange(len(words))] = random.choice((*WORDS, *NUMBERS, *tokens))
    return " ".join(words)


MUTATORS: tuple[Mutator, ...] = (_delete, _repeat, _insert, _flip, _cut, _number, _lines, _word)
