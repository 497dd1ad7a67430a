"""`aod list`: the bundles of the output directory, newest first."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aod.commands.config import DEFAULT_FILE

if TYPE_CHECKING:
    from aod.bundle import Entry

DEFAULT_DIRECTORY = Path("/var/log/aod")

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


def list_bundles(
    config: ConfigOption = None,
    directory: DirectoryOption = None,
    suppressed: Annotated[
        bool,
        typer.Option("--suppressed", help="Tell what was held back since the last bundle instead."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the bundles: when, what, how bad, where, how large."""
    import json

    from aod import text
    from aod.bundle import OutputDirectory
    from aod.errors import ConfigError

    if suppressed and (config or directory):
        raise ConfigError(
            ["--suppressed asks the service: it goes with neither --config nor --dir"]
        )
    if suppressed:
        _list_suppressed(as_json)
        return
    with OutputDirectory.open(output_path(config, directory), create=False) as output:
        bundles = [_described(output.path, entry) for entry in reversed(output.entries())]
        others = output.of_others()
    if as_json:
        typer.echo(json.dumps(bundles, indent=1))
    elif bundles:
        typer.echo("\n".join(map(text.printable, _table(bundles))))
    else:
        typer.echo(f"no bundles{' of your own' if others else ''} in {output.path}")
    if others:
        typer.echo(f"aod: {left_out(others)}", err=True)


def left_out(others: Sequence[str]) -> str:
    """Say how many bundles are not shown because they belong to another user."""
    from aod.text import plural

    return f"{plural(len(others), 'bundle')} of another user left out (run as that user)"


def output_path(config: Path | None, directory: Path | None) -> Path:
    """Return the output directory of --dir, else of the config, else the default one.

    Without --config that is the config of `aod run` where there is one, or AOD_OUTPUT_DIR. One
    with problems is told on stderr, and the bundles are those of the service, or the default's.
    Raises ConfigError when both options are given or the config cannot be read.
    """
    import os

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
    return Path(service.status["output"]) if service else None


def _described(directory: Path, entry: "Entry") -> dict[str, Any]:
    from aod.bundle import read_manifest
    from aod.errors import ANOTHER_SHAPE, BundleError

    told: dict[str, Any] = {
        "name": entry.name,
        "timestamp": entry.timestamp,
        "bytes": entry.bytes,
        "state": "damaged",
        "anomalies": [],
        "worst_latency_ns": None,
        "shares": [],
    }
    try:
        return told | _found(read_manifest(directory / entry.name))
    except (BundleError, *ANOTHER_SHAPE) as error:
        # A manifest of another shape is as useless here as one that cannot be read.
        return told | {"problem": str(error)}


def _found(manifest: Mapping[str, Any]) -> dict[str, Any]:
    from aod.report.operations import UNKNOWN_SHARE, share_name

    anomalies = manifest["anomalies"]
    worst = [int(a["worst"]["latency_ns"]) for a in anomalies if a.get("worst")]
    shares = {share_name(event) for anomaly in anomalies for event in anomaly["events"]}
    return {
        "state": str(manifest["state"]),
        "anomalies": [{"name": str(a["name"]), "count": int(a["count"])} for a in anomalies],
        "worst_latency_ns": max(worst, default=None),
        "shares": sorted(shares - {UNKNOWN_SHARE}),
        "suppressed_since_last": manifest.get("suppressed_since_last", []),
    }


def _table(bundles: list[dict[str, Any]]) -> list[str]:
    from aod import text

    rows = [
        [
            _local_time(bundle["timestamp"]),
            bundle["name"],
            ", ".join(map(_counted, bundle["anomalies"])),
            text.duration(bundle["worst_latency_ns"]) if bundle["worst_latency_ns"] else "-",
            ", ".join(bundle["shares"][:2]) + (", ..." if len(bundle["shares"]) > 2 else ""),
            text.size(bundle["bytes"]),
            bundle["state"],
        ]
        for bundle in bundles
    ]
    return text.table(["time", "bundle", "anomalies", ">worst", "share", ">size", "state"], rows)


def _counted(anomaly: Mapping[str, Any]) -> str:
    return f"{anomaly['name']} x {anomaly['count']}" if anomaly["count"] else str(anomaly["name"])


def _local_time(timestamp: int) -> str:
    moment = datetime.fromtimestamp(timestamp // 1_000_000_000, UTC).astimezone()
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def _list_suppressed(as_json: bool) -> None:
    import json

    from aod import text
    from aod.report.summary import suppressed_table

    held_back = _held_back()
    if as_json:
        typer.echo(json.dumps(held_back, indent=1))
    elif held_back:
        typer.echo("\n".join(map(text.printable, suppressed_table(held_back))))
    else:
        typer.echo("nothing was held back since the last bundle")


def _held_back() -> list[dict[str, Any]]:
    """Ask the service; without one look at what the last one has left."""
    from aod.control import find
    from aod.errors import SurroundingsError
    from aod.host.directories import state_directory
    from aod.incidents.state import read

    if service := find():
        return list(service.ask("suppressed")["suppressed"])
    path = state_directory()
    try:
        return [each.as_dict() for each in read(path).cooldowns.suppressed]
    except FileNotFoundError as error:
        raise SurroundingsError(
            f"no service runs, and none has left a state in {path} (aod run keeps it there)"
        ) from error
    except (OSError, ValueError) as error:
        raise SurroundingsError(f"cannot read the state in {path}: {error}") from error
