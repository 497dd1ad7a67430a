"""A manifest without secrets, or without names: by its fields, each name at its place."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

from pydantic import JsonValue

from aod.bundle.manifest import ActionResult, Anomaly, Manifest, Operation, Suppressed
from aod.redact.naming import Naming
from aod.redact.secrets import REMOVED, scrub, scrub_arguments

Free: TypeAlias = Callable[[str], str]

NO_TEXT = "redact keeps text only"

# Words of aod's own: nothing of them is a customer's.
_KEPT = frozenset(
    """
    tool mode type actions track_commands exclude_commands track_codes exclude_codes per
    """.split()  # noqa: SIM905 - a list of words
)


def scrubbed(manifest: Manifest) -> Manifest:
    """Return the manifest without secrets in what programs or people wrote."""
    anomalies = (replace(each, reason=scrub(each.reason)) for each in manifest.anomalies)
    results = manifest.actions.items()
    return replace(
        manifest,
        anomalies=tuple(anomalies),
        actions={name: _scrubbed_result(result) for name, result in results},
        config=_scrubbed(manifest.config),
    )


def with_sizes(manifest: Manifest, sizes: Mapping[str, int | None]) -> Manifest:
    """Return the manifest with the sizes of those files that were changed, None of one left out."""

    def changed(result: ActionResult) -> ActionResult:
        if result.file is None or result.file not in sizes:
            return result
        if (size := sizes[result.file]) is None:
            return replace(result, state="skipped", reason=NO_TEXT, file=None, bytes=0)
        return replace(result, bytes=size)

    results = manifest.actions.items()
    return replace(manifest, actions={name: changed(result) for name, result in results})


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


def _scrubbed_result(result: ActionResult) -> ActionResult:
    return replace(result, reason=scrub(result.reason), stderr=scrub(result.stderr))


def _scrubbed(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        return {key: _scrubbed(each) for key, each in value.items()}
    if isinstance(value, list):
        arguments = [each for each in value if isinstance(each, str)]
        if len(arguments) == len(value):
            return [*scrub_arguments(arguments)]
        return [_scrubbed(each) for each in value]
    return value
