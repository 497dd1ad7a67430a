"""`make kernels`: try aod on every kernel of the matrix, and write build/kernels.json."""

import argparse
import json
import logging
import sys
import time
from pathlib import Path

from tests.vm.kernels.examine import Examined, examine
from tests.vm.kernels.matrix import MATRIX
from tests.vm.kernels.report import problems, row_of
from tests.vm.lab import LabError, host, prepare
from tests.vm.lab.cache import Cache, default_root

CHECKOUT = Path(__file__).parents[3]
PAYLOAD = CHECKOUT / "build" / "payload"
TARGET = CHECKOUT / "build" / "kernels.json"

log = logging.getLogger(__name__)


def main() -> int:
    """Examine the kernels one after the other; return 0 only when aod holds on all."""
    suites = _arguments().suites or list(MATRIX)
    logging.basicConfig(level=logging.INFO, format="kernels: %(message)s", stream=sys.stdout)
    if reason := host.missing():
        log.error("%s", reason)
        return 1
    cache, examined, failures = Cache(default_root()), [], []
    for suite in suites:
        try:
            examined.append(_examine(cache, suite))
        except LabError as error:
            failures.append(f"{suite}: {error}")
            log.error("failed suite=%s", suite)
        TARGET.write_text(json.dumps([row_of(each) for each in examined], indent=2) + "\n")
    failures += problems(examined)
    for failure in failures:
        log.error("%s", failure)
    log.info("wrote kernels=%d file=%s", len(examined), TARGET.relative_to(CHECKOUT))
    return 1 if failures else 0


def _examine(cache: Cache, suite: str) -> Examined:
    log.info("kernel suite=%s (%s)", suite, MATRIX.get(suite, "not of the matrix"))
    lab = prepare(cache, suite)
    started_s = time.monotonic()
    examined = examine(lab, PAYLOAD, suite)
    for difference in examined.differences:
        log.info("%s", difference)
    log.info(
        "examined kernel=%s rung=%d seconds=%.0f %s",
        examined.kernel,
        examined.rung,
        time.monotonic() - started_s,
        examined.ledger,
    )
    return examined


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m tests.vm.kernels", description=__doc__)
    parser.add_argument("suites", nargs="*", help="only these, as the lab names kernels")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
