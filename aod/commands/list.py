"""`aod list`: the bundles of the output directory, newest first."""

from collections.abc import Mapping
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
        "--config", help=f"Config that names the output directory (default: {DEFAULT_FILE})."
    ),
]
DirectoryOption = Annotated[
    Path | None, typer.Option("--dir", help=f"Output directory (default: {DEFAULT_DIRECTORY}).")
]


def list_bundles(
    config: ConfigOption = None,
    directory: DirectoryOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the bundles: when, what, how bad, where, how large."""
    import json

    from aod.bundle import OutputDirectory
    from aod.report import text

    with OutputDirectory.open(output_path(config, directory), create=False) as output:
        bundles = [_described(output.path, entry) for entry in reversed(output.entries())]
    if as_json:
        typer.echo(json.dumps(bundles, indent=1))
    elif bundles:
        typer.echo("\n".join(map(text.printable, _table(bundles))))
    else:
        typer.echo(f"no bundles in {output.path}")


def output_path(config: Path | None, directory: Path | None) -> Path:
    """Return the output directory of --dir, else of the config, else the default one.

    Without --config that is the config of `aod run` where there is one, or AOD_OUTPUT_DIR.
    Raises ConfigError when both options are given or the config is bad.
    """
    import os

    from aod.errors import ConfigError

    if config and directory:
        raise ConfigError(["--config and --dir cannot be given together"])
    if directory:
        return directory
    if not config and not DEFAULT_FILE.exists():
        return Path(os.environ.get("AOD_OUTPUT_DIR", DEFAULT_DIRECTORY))
    from aod.config import load

    return Path(load(config or DEFAULT_FILE, os.environ).aod_output_dir)


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
    from aod.report.operations import share_name

    anomalies = manifest["anomalies"]
    worst = [int(a["worst"]["latency_ns"]) for a in anomalies if a.get("worst")]
    shares = {share_name(event) for anomaly in anomalies for event in anomaly["events"]}
    return {
        "state": str(manifest["state"]),
        "anomalies": [{"name": str(a["name"]), "count": int(a["count"])} for a in anomalies],
        "worst_latency_ns": max(worst, default=None),
        "shares": sorted(shares),
        "suppressed_since_last": manifest.get("suppressed_since_last", []),
    }


def _table(bundles: list[dict[str, Any]]) -> list[str]:
    from aod.report import text

    rows = [
        [
            _local_time(bundle["timestamp"]),
            bundle["name"],
            ", ".join(f"{a['name']} x {a['count']}" for a in bundle["anomalies"]),
            text.duration(bundle["worst_latency_ns"]) if bundle["worst_latency_ns"] else "-",
            ", ".join(bundle["shares"][:2]) + (", ..." if len(bundle["shares"]) > 2 else ""),
            text.size(bundle["bytes"]),
            bundle["state"],
        ]
        for bundle in bundles
    ]
    return text.table(["time", "bundle", "anomalies", ">worst", "share", ">size", "state"], rows)


def _local_time(timestamp: int) -> str:
    moment = datetime.fromtimestamp(timestamp // 1_000_000_000, UTC).astimezone()
    return moment.strftime("%Y-%m-%d %H:%M:%S")
