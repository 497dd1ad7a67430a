"""Requests that were sent and are not answered yet."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from aod.events import Flag
from aod.smb import Command


def is_patient(requests: NDArray[np.void]) -> NDArray[np.bool]:
    """Return which of the (n,) requests wait by nature: CHANGE_NOTIFY, and LOCK once pended."""
    commands, pended = requests["command"], (requests["flags"] & Flag.PENDED) != 0
    patient: NDArray[np.bool] = (commands == Command.SMB2_CHANGE_NOTIFY) | (
        (commands == Command.SMB2_LOCK) & pended
    )
    return patient


def longest_wait_ns(
    keys: NDArray[np.void], requests: NDArray[np.void], connections: Collection[int], now_ns: int
) -> int:
    """Return the age of the oldest unanswered request on some connections, 0 with none.

    `keys` (REQUEST_KEY) and `requests` (REQUEST) have shape (n,); without `connections`, all
    count. What waits by nature does not.
    """
    chosen = ~is_patient(requests)
    if connections:
        chosen &= np.isin(keys["connection_id"], list(connections))
    sent_ns = requests["sent_ns"][chosen]
    return max(0, now_ns - int(sent_ns.min())) if sent_ns.size else 0
