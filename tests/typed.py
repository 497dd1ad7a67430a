"""Until the report's rooms take the typed manifest."""

import json
from dataclasses import asdict, is_dataclass
from typing import Any

from aod.bundle.manifest import Manifest, Operation, parse
from aod.report.summary import render


def typed(plain: Any) -> Manifest:
    if is_dataclass(plain):
        return plain  # type: ignore[return-value]
    plain = json.loads(json.dumps(plain))
    for result in plain.get("actions", {}).values():
        result["duration_s"] = result["duration_s"] or 0.0
        result["file"] = result["file"] or None
    return parse(json.dumps(plain).encode(), "a test")


def operation(plain: Any) -> Operation:
    return plain if is_dataclass(plain) else Operation(**{**plain, "flags": tuple(plain["flags"])})  # type: ignore[return-value]


def rendered(manifest: Manifest) -> str:
    return render(asdict(manifest))
