"""`aod list`: the bundles of the output directory, newest first."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aod.commands.options import ConfigOption, DirectoryOption, left_out, output_path

if TYPE_CHECKING:
    from aod.bundle import Entry
    from aod.bundle.manifest import Anomaly, Manifest, Suppressed


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
        bundles = [_look_into(output.path, entry) for entry in reversed(output.entries())]
        others = output.of_others()
    if as_json:
        typer.echo(json.dumps([*map(_plain, bundles)], indent=1))
    elif bundles:
        typer.echo("\n".join(map(text.printable, _table(bundles))))
    else:
        typer.echo(f"no bundles{' of your own' if others else ''} in {output.path}")
    if others:
        typer.echo(f"aod: {left_out(others)}", err=True)


@dataclass(frozen=True, slots=True)
class Listed:
    """One bundle as it is listed; without a manifest there is a `problem` with it."""

    entry: "Entry"
    manifest: "Manifest | None"
    problem: str = ""

    @property
    def state(self) -> str:
        """What the manifest says."""
        return self.manifest.state if self.manifest else "damaged"

    @property
    def anomalies(self) -> tuple["Anomaly", ...]:
        """What is in it."""
        return self.manifest.anomalies if self.manifest else ()

    @property
    def worst_latency_ns(self) -> int | None:
        """The latency of the worst operation of all, if there is one."""
        worsts = (anomaly.worst for anomaly in self.anomalies)
        return max((worst.latency_ns for worst in worsts if worst), default=None)

    def shares(self) -> list[str]:
        """Return the shares of all operations, as far as they are known."""
        from aod.report.operations import UNKNOWN_SHARE, share_name

        names = {share_name(each) for every in self.anomalies for each in every.events}
        return sorted(names - {UNKNOWN_SHARE})


def _look_into(directory: Path, entry: "Entry") -> Listed:
    from aod.bundle import read_manifest
    from aod.errors import BundleError

    try:
        return Listed(entry, read_manifest(directory / entry.name))
    except BundleError as error:
        return Listed(entry, None, str(error))


def _plain(bundle: Listed) -> dict[str, object]:
    """Return a bundle as JSON can hold it."""
    counts = [{"name": each.name, "count": each.count} for each in bundle.anomalies]
    fields: dict[str, object] = {
        "name": bundle.entry.name,
        "timestamp": bundle.entry.timestamp,
        "bytes": bundle.entry.bytes,
        "state": bundle.state,
        "anomalies": counts,
        "worst_latency_ns": bundle.worst_latency_ns,
        "shares": bundle.shares(),
    }
    if not bundle.manifest:
        return fields | {"problem": bundle.problem}
    suppressed = [asdict(each) for each in bundle.manifest.suppressed_since_last]
    return fields | {"suppressed_since_last": suppressed}


def _table(bundles: Sequence[Listed]) -> list[str]:
    from aod import text

    columns = ["time", "bundle", "anomalies", ">worst", "share", ">size", "state"]
    return text.table(columns, [_cells(bundle) for bundle in bundles])


def _cells(bundle: Listed) -> list[str]:
    from aod import text

    shares, worst_ns = bundle.shares(), bundle.worst_latency_ns
    return [
        _local_time(bundle.entry.timestamp),
        bundle.entry.name,
        ", ".join(map(_counted, bundle.anomalies)),
        text.duration(worst_ns) if worst_ns else "-",
        ", ".join(shares[:2]) + (", ..." if len(shares) > 2 else ""),
        text.size(bundle.entry.bytes),
        bundle.state,
    ]


def _counted(anomaly: "Anomaly") -> str:
    return f"{anomaly.name} x {anomaly.count}" if anomaly.count else anomaly.name


def _local_time(timestamp: int) -> str:
    moment = datetime.fromtimestamp(timestamp // 1_000_000_000, UTC).astimezone()
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def _list_suppressed(as_json: bool) -> None:
    import json

    from aod import text
    from aod.report.summary import suppressed_table

    held_back = _held_back()
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in held_back], indent=1))
    elif held_back:
        typer.echo("\n".join(map(text.printable, suppressed_table(held_back))))
    else:
        typer.echo("nothing was held back since the last bundle")


def _held_back() -> tuple["Suppressed", ...]:
    """Ask the service; without one read what the last one has left."""
    from aod.control import find
    from aod.control.answers import SuppressedAnswer
    from aod.errors import HostError
    from aod.host.directories import state_directory
    from aod.incidents.state import read

    if service := find():
        return service.ask(SuppressedAnswer).suppressed
    path = state_directory()
    try:
        return tuple(each.described() for each in read(path).cooldowns.suppressed)
    except FileNotFoundError as error:
        raise HostError(
            f"no service runs, and none has left a state in {path} (aod run keeps it there)"
        ) from error
    except (OSError, ValueError) as error:
        raise HostError(f"cannot read the state in {path}: {error}") from error
