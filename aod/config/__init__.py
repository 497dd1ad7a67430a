"""The config: what a user may set, checked before anything starts."""

from aod.config.loading import Config, Loaded, check_output_dir, load, load_with_sources
from aod.config.yamlsource import is_there
from aod.detectors.section import AnomalySection
from aod.schema import count, number

__all__ = [
    "AnomalySection",
    "Config",
    "Loaded",
    "check_output_dir",
    "count",
    "is_there",
    "load",
    "load_with_sources",
    "number",
]
