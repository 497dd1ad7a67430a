"""`aod show`: what is in one bundle."""

import re
from pathlib import Path
from typing import Annotated

import typer

from aod.commands.options import ConfigOption, DirectoryOption, left_out, output_path

_NAME = re.compile(r"(?:aod_)?(\d{19})(?:\.tar\.zst)?", re.ASCII)


def show(
    bundle: Annotated[str, typer.Argument(help="A path, a name, a time stamp, or: latest.")],
    config: ConfigOption = None,
    directory: DirectoryOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest.")] = False,
    file: Annotated[
        str | None, typer.Option("--file", metavar="NAME", help="Print this file of it.")
    ] = None,
) -> None:
    """Print a bundle's summary, its manifest, or one of its files."""
    from aod.bundle import MANIFEST, read_member
    from aod.errors import ConfigError

    if as_json and file:
        raise ConfigError(["--json and --file cannot be given together"])
    path = locate(bundle, config, directory)
    if as_json or file:
        typer.echo(read_member(path, file or MANIFEST), nl=False)
    else:
        typer.echo(_summary(path))


def locate(bundle: str, config: Path | None, directory: Path | None) -> Path:
    """Return the path of a bundle that is named by path, name, time stamp or `latest`.

    Raises BundleError when there is no such bundle in the output directory.
    """
    from aod.bundle import OutputDirectory
    from aod.errors import BundleError

    if "/" in bundle or (bundle != "latest" and Path(bundle).exists()):
        return Path(bundle)
    with OutputDirectory.open(output_path(config, directory), create=False) as output:
        entries, others = output.entries(), output.of_others()
    match = _NAME.fullmatch(bundle)
    if match:
        entries = [entry for entry in entries if entry.timestamp == int(match[1])]
    if not entries or not (match or bundle == "latest"):
        hint = left_out(others) if others else "see: aod list"
        raise BundleError(f"no bundle {bundle!r} in {output.path} ({hint})")
    return output.path / entries[-1].name


def _summary(path: Path) -> str:
    from aod import text
    from aod.bundle import SUMMARY, read_manifest, read_member
    from aod.errors import BundleError
    from aod.report.summary import render

    try:
        summary = read_member(path, SUMMARY).decode(errors="backslashreplace")
    except BundleError:
        # It is written last: a bundle that is still collected has none.
        summary = render(read_manifest(path))
    # The bundle may come from elsewhere: it must not send escapes to this terminal.
    return "\n".join(map(text.printable, summary.rstrip("\n").split("\n")))
