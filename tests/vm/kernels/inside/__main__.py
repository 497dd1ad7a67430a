"""The mixed workload, a phase at a time: python3 -m inside PHASE, in the folder above.

Prints, as JSON, what each step of the phase has to tell. Of the standard library only.
"""

import json
import sys
import time
from collections.abc import Callable

from . import steps

PHASES: dict[str, tuple[Callable[[], steps.Logged], ...]] = {
    "prepare": (steps.mount_two,),
    "calm": (
        steps.files,
        steps.missing_files,
        steps.failed_renames,
        steps.big_files,
        steps.locks,
        steps.lease_breaks,
        steps.encrypted,
        steps.multichannel,
        steps.slow_network,
        steps.refused,
    ),
    "between": (steps.unmount_most,),
    "trouble": (steps.stopped_server, steps.killed_server),
}


def main() -> None:
    """Take the steps of the phase that is named on the command line."""
    told: dict[str, object] = {}
    for step in PHASES[sys.argv[1]]:
        started_s = time.monotonic()
        told[step.__name__] = {**step(), "took_s": round(time.monotonic() - started_s, 1)}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
