"""Options that several commands have, and what they stand for when they are not given."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from aod.host.directories import OUTPUT

DEFAULT_FILE = Path("/etc/aod/config.yaml")
DEFAULT_DIRECTORY = OUTPUT

File = Annotated[Path, typer.Option("--config", metavar="FILE", help="The config file to read.")]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help=f"Config that names the output directory (default: {DEFAULT_FILE}).",
    ),
]
DirectoryOption = Annotated[
    Path | None,
    typer.Option(
        "--dir", metavar="DIRECTORY", help=f"Output directory (default: {DEFAULT_DIRECTORY})."
    ),
]


def output_path(config: Path | None, directory: Path | None) -> Path:
    """Return the output directory of --dir, else of the config, else the default one.

    Without --config that is the config of `aod run` where there is one, or AOD_OUTPUT_DIR. One
    with problems is reported on stderr, and the bundles are those of the service, or the
    default's. Raises ConfigError when both options are given or the config cannot be read.
    """
    from aod.errors import ConfigError

    if config and directory:
        raise ConfigError(["--config and --dir cannot be given together"])
    if directory:
        return directory
    from aod.config import is_there, load

    default = Path(os.environ.get("AOD_OUTPUT_DIR", DEFAULT_DIRECTORY))
    found = is_there(config or DEFAULT_FILE)
    if not config and not found:
        return default
    try:
        return Path(load(config or DEFAULT_FILE, os.environ, writes=False).aod_output_dir)
    except ConfigError:
        if not found:
            raise
    # The evidence is there however bad the config has become.
    output = _output_of_service() or default
    typer.echo(f"aod: the config has problems (aod config check): bundles of {output}", err=True)
    return output


def _output_of_service() -> Path | None:
    from aod.control import find
    from aod.errors import ServiceError

    try:
        service = find()
    except ServiceError:
        return None
    return Path(service.status.output) if service else None


def left_out(others: Sequence[str]) -> str:
    """Say how many bundles are not shown because they belong to another user."""
    from aod.text import plural

    return f"{plural(len(others), 'bundle')} of another user left out (run as that user)"
