"""Which fields of a manifest may hold a name, and which are aod's, the kernel's, the protocol's."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

from aod.bundle.manifest import Manifest
from aod.redact import Redactor
from aod.redact.naming import Naming
from aod.redact.pseudonyms import Pseudonyms

NAME = "fin01"
KEPT = {
    "state raised sealed",
    "anomalies.anomaly anomalies.tool anomalies.raised anomalies.first anomalies.last",
    "suppressed_since_last.first suppressed_since_last.last",
    "actions.x.state actions.x.name actions.x.file",
    "tracer.missing.x tracer.refusals",
    "host.kernel host.os host.machine",
    "versions.aod versions.python versions.libbpf",
    "files.x.sha256",
}
OPERATION = (
    *("time", "kind", "cause", "command", "status", "status_code", "error", "channel", "flags"),
    *("connection_id", "session_id", "tree_id", "file_id", "task_state", "wchan", "stack"),
)
"""Of an operation: what is left but server, share, file, unit and process."""


def filled(kind: Any) -> Any:
    """Return a value of a type in which each text is a server's name."""
    if hasattr(kind, "__dataclass_fields__"):
        hints = get_type_hints(kind)
        return kind(**{name: filled(hint) for name, hint in hints.items()})
    if get_origin(kind) is tuple:
        return (filled(get_args(kind)[0]),)
    if get_origin(kind) is Mapping:
        return {"x": filled(get_args(kind)[1])}
    if get_origin(kind) in (Union, UnionType):
        return filled(get_args(kind)[0])
    return kind() if kind in (int, float, bool) else NAME


def places(value: Any, place: str = "") -> Iterator[str]:
    """Yield where the name still stands."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from places(each, f"{place}.{key}")
    elif isinstance(value, tuple | list):
        for each in value:
            yield from places(each, place)
    elif value == NAME:
        yield place.lstrip(".")


@pytest.fixture
def redactor(tmp_path: Path) -> Redactor:
    with Pseudonyms.open(tmp_path / "state") as names:
        Naming(names).server(NAME)
        names.save()
    return Redactor(tmp_path / "state", tmp_path / "root")


def test_no_field_but_those_that_are_aods_own_keeps_a_name(redactor: Redactor) -> None:
    kept = {place for places in KEPT for place in places.split()}
    for operation in ("anomalies.worst", "anomalies.events"):
        kept |= {f"{operation}.{name}" for name in OPERATION}

    manifest: Manifest = filled(Manifest)

    assert set(places(asdict(redactor.manifest(manifest)))) == kept
