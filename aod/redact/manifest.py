"""Redacts a manifest by its fields: each name at its place, free text as text."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from pydantic import JsonValue

from aod.bundle.manifest import ActionResult, Anomaly, Manifest, Operation, Suppressed
from aod.redact.naming import Naming
from aod.redact.secrets import REMOVED

Free: TypeAlias = Callable[[str], str]

# Words of aod's own: nothing of them is a customer's.
_KEPT = frozenset(
    """
    tool mode type actions track_commands exclude_commands track_codes exclude_codes per
    """.split()  # noqa: SIM905 - a list of words
)


class ManifestRedactor:
    """Redacts manifests; `free` is what redacts free text.

    What is not named here is aod's own, the kernel's or the protocol's.
    """

    def __init__(self, naming: Naming, free: Free) -> None:
        self._naming = naming
        self._free = free

    def redact(self, manifest: Manifest) -> Manifest:
        """Return the manifest with `redacted` set."""
        left_out = tuple(map(self._free, manifest.disk.left_out))
        return replace(
            manifest,
            trigger=self._free(manifest.trigger),
            anomalies=tuple(map(self._anomaly, manifest.anomalies)),
            suppressed_since_last=tuple(map(self._suppressed, manifest.suppressed_since_last)),
            actions={name: self._result(each) for name, each in manifest.actions.items()},
            disk=replace(manifest.disk, left_out=left_out),
            host=replace(manifest.host, name=self._naming.server(manifest.host.name)),
            config=self._config(manifest.config),
            redacted=True,
        )

    def operation(self, operation: Operation) -> Operation:
        """Return an operation without names."""
        naming = self._naming
        return replace(
            operation,
            server=_named(naming.server, operation.server),
            share=_named(naming.share, operation.share),
            comm=_named(naming.process, operation.comm),  # before its unit, often called the same
            file=_named(naming.file, operation.file),
            unit=_named(self._unit, operation.unit),
            uid=naming.uid(operation.uid),
        )

    def _anomaly(self, anomaly: Anomaly) -> Anomaly:
        return replace(
            anomaly,
            name=self._free(anomaly.name),
            reason=self._free(anomaly.reason),
            shares=tuple(self._naming.pattern("share", share) for share in anomaly.shares),
            worst=self.operation(anomaly.worst) if anomaly.worst else None,
            events=tuple(map(self.operation, anomaly.events)),
        )

    def _suppressed(self, suppressed: Suppressed) -> Suppressed:
        return replace(suppressed, name=self._free(suppressed.name))

    def _result(self, result: ActionResult) -> ActionResult:
        return replace(result, reason=self._free(result.reason), stderr=self._free(result.stderr))

    def _config(self, config: JsonValue) -> JsonValue:
        clean = self._value("config", config)
        if isinstance(clean, dict) and clean.get("notify"):
            clean["notify"] = REMOVED
        return clean

    def _value(self, key: str, value: JsonValue) -> JsonValue:
        """Return what stands under a key of the config."""
        if key in _KEPT:
            return value
        if isinstance(value, str):
            return self._free(value)
        if key in ("shares", "processes") and isinstance(value, list):
            kind = "share" if key == "shares" else "process"
            return [self._naming.pattern(kind, str(each)) for each in value]
        if isinstance(value, dict):
            return {self._free(inner): self._value(inner, each) for inner, each in value.items()}
        if isinstance(value, list):
            return [self._value(key, each) for each in value]
        return value

    def _unit(self, name: str) -> str:
        if name.startswith("pod "):
            return "pod " + self._naming.guid(name.removeprefix("pod "))
        return self._free(name) if name.startswith("/") else self._naming.unit(name)


def _named(name: Callable[[str], str], text: str) -> str:
    return name(text) if text else text
