"""Redacts a manifest by its keys: each name at its place, free text as text."""

from collections.abc import Callable, Mapping
from typing import Any

from aod.redact.naming import Naming
from aod.redact.secrets import REMOVED

Free = Callable[[str], str]

# Words of aod's own, of the kernel's and of the protocol's: nothing of them is a customer's.
_KEPT = frozenset(
    """
    time kind cause command status status_code error channel connection_id session_id tree_id
    file_id flags task_state wchan stack anomaly raised first last tool limit state sealed
    started duration_s versions lost tracer files os machine kernel mode type actions
    track_commands exclude_commands track_codes exclude_codes per
    """.split()  # noqa: SIM905 - a list of words
)
SOUND = ("format", "timestamp", "raised", "sealed", "state")
DAMAGED = (RecursionError, TypeError, ValueError, AttributeError, KeyError)
"""What comes of a manifest whose parts are not of the types that they should be."""


def damaged(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of a damaged manifest: nothing that could hold a name."""
    numbers = {key: manifest.get(key) for key in SOUND}
    kept = {key: value for key, value in numbers.items() if isinstance(value, int)}
    state = manifest.get("state")
    known = state if state in ("sealed", "interrupted", "collecting") else "interrupted"
    return {**kept, "state": known, "anomalies": [], "actions": {}, "redacted": True}


class Manifest:
    """Redacts manifests; `free` is what redacts free text."""

    def __init__(self, naming: Naming, free: Free) -> None:
        self._free = free
        self._names: dict[str, Callable[[str], str]] = {
            "server": naming.server,
            "share": naming.share,
            "comm": naming.process,  # before its unit, which is often called the same
            "file": naming.file,
            "unit": self._unit,
        }
        self._naming = naming

    def redact(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Return the manifest with `redacted` set."""
        clean = {self._free(key): self._value(key, value) for key, value in manifest.items()}
        clean["anomalies"] = [self._anomaly(each) for each in manifest.get("anomalies", ())]
        results = manifest.get("actions", {})
        clean["actions"] = {name: self._result(result) for name, result in results.items()}
        host = manifest.get("host", {})
        clean["host"] = {**host, "name": self._naming.server(host.get("name", ""))}
        clean["config"] = self._config(manifest.get("config", {}))
        return {**clean, "redacted": True}

    def event(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return a row of the operations."""
        clean = dict(event)
        for key, name in self._names.items():
            if event.get(key):
                clean[key] = name(str(event[key]))
        if isinstance(event.get("uid"), int):
            clean["uid"] = self._naming.uid(event["uid"])
        return clean

    def _anomaly(self, anomaly: Mapping[str, Any]) -> dict[str, Any]:
        rest = {
            key: each for key, each in anomaly.items() if key not in ("events", "worst", "shares")
        }
        clean: dict[str, Any] = {key: self._value(key, each) for key, each in rest.items()}
        clean["events"] = [self.event(event) for event in anomaly.get("events", ())]
        worst = anomaly.get("worst")
        clean["worst"] = self.event(worst) if worst else worst
        clean["shares"] = [
            self._naming.pattern("share", share) for share in anomaly.get("shares", ())
        ]
        return clean

    def _result(self, result: Mapping[str, Any]) -> dict[str, Any]:
        words = {key: self._free(result[key]) for key in ("reason", "stderr") if key in result}
        return {**result, **words}

    def _config(self, config: Any) -> Any:
        clean = self._value("config", config)
        if isinstance(clean, dict) and clean.get("notify"):
            clean["notify"] = REMOVED
        return clean

    def _value(self, key: str, value: Any) -> Any:
        """Return what stands under a key that has no place of its own."""
        if key in _KEPT:
            return value
        if isinstance(value, str):
            return self._free(value)
        if key in ("shares", "processes") and isinstance(value, list):
            kind = "share" if key == "shares" else "process"
            return [self._naming.pattern(kind, str(each)) for each in value]
        if isinstance(value, Mapping):
            return {self._free(inner): self._value(inner, each) for inner, each in value.items()}
        if isinstance(value, list):
            return [self._value(key, each) for each in value]
        return value

    def _unit(self, name: str) -> str:
        if name.startswith("pod "):
            return "pod " + self._naming.guid(name.removeprefix("pod "))
        return self._free(name) if name.startswith("/") else self._naming.unit(name)
