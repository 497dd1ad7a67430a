"""The detectors, by the `type` that the config names them with."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aod.detectors.detector import Configured

TABLE = {
    "Latency": "aod.detectors.latency",
    "Error": "aod.detectors.error",
    "Inflight": "aod.detectors.inflight",
    "Reconnect": "aod.detectors.reconnect",
    "Credits": "aod.detectors.credits",
}


def load(kind: str) -> "type[Configured]":
    """Return the detector class of a config `type`."""
    detector: type[Configured] = getattr(importlib.import_module(TABLE[kind]), kind)
    return detector
