"""A filter as the probes read it: in their maps."""

import numpy as np
from numpy.typing import NDArray

from aod.events import COMMANDS, Setting
from aod.smb.filter import Filter, StatusVerdict
from aod.tracer.maps import Maps


def write_filter(maps: Maps, before: Filter, wanted: Filter) -> None:
    """Put a filter in the place of another; what both want is sent meanwhile, too."""
    if before.statuses.failures != wanted.statuses.failures:
        # Exceptions reverse the default: until both are changed, each request is sent.
        _write_thresholds(maps, np.zeros_like(wanted.thresholds_ns))
    _write_statuses(maps, wanted.statuses)
    _write_thresholds(maps, wanted.thresholds_ns)
    errors = np.packbits(wanted.errors, bitorder="little").view("<u8")
    for index, bits in enumerate(errors.tolist()):
        maps.local_errors.write(index, bits)
    maps.settings.write(Setting.KINDS, sum(1 << kind for kind in wanted.kinds))
    maps.settings.write(Setting.SECONDARY, wanted.secondary)


def _write_thresholds(maps: Maps, thresholds_ns: NDArray[np.uint64]) -> None:
    for index, threshold_ns in enumerate(thresholds_ns.ravel().tolist()):
        maps.latency_thresholds.write(index, threshold_ns)


def _write_statuses(maps: Maps, statuses: StatusVerdict) -> None:
    for status, commands in statuses.exceptions.items():
        maps.status_exceptions.write(status, {"words": _words(commands)})
    maps.settings.write(Setting.FAILURES, statuses.failures)
    for status in maps.status_exceptions.keys() - statuses.exceptions.keys():
        maps.status_exceptions.delete(status)


def _words(commands: frozenset[int]) -> list[int]:
    """Return a set of commands as struct aod_commands has it."""
    bits = np.zeros(COMMANDS, np.bool)
    bits[list(commands)] = True
    words: list[int] = np.packbits(bits, bitorder="little").view("<u8").tolist()
    return words
