"""Bundles as other programs read them."""

import json
from pathlib import Path
from typing import Any

from aod.bundle import MANIFEST, read_member


def manifest_in(path: Path) -> dict[str, Any]:
    """Return the JSON of a bundle's manifest."""
    plain: dict[str, Any] = json.loads(read_member(path, MANIFEST))
    return plain
