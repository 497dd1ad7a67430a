"""The config: what a user may set, checked before anything starts."""

from aod.config.loading import Config, Loaded, check_output_dir, load, load_with_sources
from aod.config.tree import ErrorAnomaly, InflightAnomaly, LatencyAnomaly

__all__ = [
    "Config",
    "ErrorAnomaly",
    "InflightAnomaly",
    "LatencyAnomaly",
    "Loaded",
    "check_output_dir",
    "load",
    "load_with_sources",
]
