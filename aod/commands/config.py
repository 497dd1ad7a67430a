"""`aod config`: check a config file, or show what is in force."""

import json
import re
from collections.abc import Iterator
from itertools import takewhile
from typing import TYPE_CHECKING, Annotated

import typer

from aod.commands.options import DEFAULT_FILE, File

if TYPE_CHECKING:
    from aod.config import Loaded

app = typer.Typer(help="Check the config, or show what is in force.", no_args_is_help=True)

_PLAIN = re.compile(r"(?!(?:true|false|null)$)[A-Za-z/][\w/.-]*", re.ASCII | re.IGNORECASE)


@app.command()
def check(config: File = DEFAULT_FILE) -> None:
    """Tell everything that is wrong with a config, with line and allowed values."""
    import os

    from aod.config import load_with_sources

    loaded = load_with_sources(config, os.environ)
    for warning in loaded.warnings():
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"{config}: ok")


@app.command()
def show(
    config: File = DEFAULT_FILE,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one key each.")] = False,
) -> None:
    """Print the config in force, and where each value came from."""
    import os

    from aod.config import load_with_sources

    loaded = load_with_sources(config, os.environ)
    typer.echo(_json(loaded) if as_json else "\n".join(_yaml(loaded)))


def _json(loaded: "Loaded") -> str:
    from aod.config.problems import key_text

    found = {
        key_text(path): {"value": value, "source": source}
        for path, value, source in loaded.leaves()
    }
    return json.dumps(found, indent=2)


def _yaml(loaded: "Loaded") -> Iterator[str]:
    """Yield the lines of a file that would give the same config."""
    before: tuple[str | int, ...] = ()
    for path, value, source in loaded.leaves():
        known = _shared(before, path)
        for depth in range(known, len(path)):
            if isinstance(path[depth], str):
                ending = f" {_scalar(value)}  # {source}" if depth == len(path) - 1 else ""
                yield f"{_indent(path, depth, known)}{path[depth]}:{ending}"
        before = path


def _shared(before: tuple[str | int, ...], path: tuple[str | int, ...]) -> int:
    pairs = zip(before, path, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _indent(path: tuple[str | int, ...], depth: int, known: int) -> str:
    """Return the spaces before a key, with a dash where it opens an item of a list."""
    opens_item = depth > known and isinstance(path[depth - 1], int)
    return "  " * (depth - 1) + "- " if opens_item else "  " * depth


def _scalar(value: object) -> str:
    """Write JSON, which is YAML too, and plain text without its quotes."""
    if isinstance(value, list):
        return f"[{', '.join(_scalar(item) for item in value)}]"
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    return json.dumps(value)
