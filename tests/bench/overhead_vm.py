"""`make bench-overhead` without a share: the comparison in the lab's guest, to see that it works.

Its processor is emulated, so the figures are those of no real machine.
"""

import argparse
import logging
import sys
from pathlib import Path

from tests.bench import overhead
from tests.vm.daemon import AOD, SHIPPED
from tests.vm.lab import SHARE, host, prepare
from tests.vm.lab.cache import Cache, default_root
from tests.vm.lab.errors import LabError

CHECKOUT = Path(__file__).parents[2]
SCRIPT, FIGURES = Path("/run/overhead.py"), Path("/run/overhead.json")
# An emulated share is slow: bundles of it would be no cost of a healthy one.
CALM = "AOD_GUARDIAN__ANOMALIES__LATENCY__{}_THRESHOLD_MS=60000"
SETTINGS = " ".join(CALM.format(kind) for kind in ("DEFAULT", "EMERGENCY"))
START_S = 60.0
"""Of one `aod run` under emulation, its end included."""


def main() -> int:
    """Compare in the guest, and show the figures and the plot here; return the exit code."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=4, help="pairs of turns (default: 4)")
    parser.add_argument("--seconds", type=float, default=15, help="of each turn (default: 15)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="lab: %(message)s", stream=sys.stdout)
    if reason := host.missing():
        print(f"overhead: {reason}", file=sys.stderr)
        return 1
    out = CHECKOUT / "build" / "overhead.json"
    try:
        out.write_bytes(measure(options.rounds, options.seconds))
    except LabError as error:
        print(f"overhead: {error}", file=sys.stderr)
        return 1
    return overhead.main(["--from", str(out)])


def measure(rounds: int, seconds: float) -> bytes:
    """Return the figures of a comparison in a fresh guest, as JSON; raises LabError."""
    turns = f"--rounds {rounds} --seconds {seconds:g}"
    program = f"--aod {AOD} --config {SHIPPED} --out {FIGURES}"
    limit_s = (2 * rounds + 1) * 2 * seconds + rounds * START_S
    with prepare(Cache(default_root())).machine(CHECKOUT / "build" / "payload") as vm:
        vm.write(SCRIPT, Path(overhead.__file__).read_bytes())
        result = vm.run(f"{SETTINGS} python3 {SCRIPT} {SHARE} {turns} {program}", limit_s)
        print(*(line for line in result.stdout.splitlines() if "round" in line), sep="\n")
        return vm.read(FIGURES)


if __name__ == "__main__":
    sys.exit(main())
