"""What a tracer says of itself and of what it holds, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from aod.tracer.ledger import Ledger


@dataclass(frozen=True, slots=True)
class TracerState:
    """The rung in use (None: cifs is not loaded), what is missing on it, and the ledger.

    `missing` says why, by program, `refusals` why no rung above it holds.
    """

    rung: int | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    refusals: tuple[str, ...] = ()
    ledger: Ledger = field(default_factory=Ledger)


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan of what is open, and the ledger of that moment.

    `keys` (REQUEST_KEY) and `requests` (REQUEST) have shape (n,); `threads` are ids of who has
    called cifs of late, with what they did: `waits` (WAIT), both (m,). How often a probe was
    `skipped` is not in this ledger, as it takes a call for each program.
    """

    keys: NDArray[np.void]
    requests: NDArray[np.void]
    threads: NDArray[np.uint32]
    waits: NDArray[np.void]
    ledger: Ledger
