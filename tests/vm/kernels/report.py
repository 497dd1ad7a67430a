"""build/kernels.json, and whether aod holds on every kernel."""

from collections.abc import Iterable, Iterator
from typing import Any

from tests.vm.kernels.examine import EVIDENCE, Examined

MIN_KERNELS = 5
COUNTS = (
    "requests",
    "completed",
    "aborted",
    "unanswered",
    "untracked",
    "open",
    "interim",
    "breaks",
    "unmatched",
    "lost",
    "skipped",
)


def row_of(examined: Examined) -> dict[str, Any]:
    """Return what build/kernels.json holds of a kernel."""
    ledger = examined.ledger
    return {
        "kernel": examined.kernel,
        "suite": examined.suite,
        "rung": examined.rung,
        **{name: getattr(ledger, name) for name in COUNTS},
        "ledger_closed": ledger.is_closed,
        **{f"{name}_incident": came for name, came in examined.incidents.items()},
        "multichannel": examined.told["multichannel"],
        "differences": [str(difference) for difference in examined.differences],
    }


def problems(kernels: Iterable[Examined]) -> Iterator[str]:
    """Yield what keeps aod from holding on these kernels."""
    examined = list(kernels)
    if len(examined) < MIN_KERNELS:
        yield f"only {len(examined)} kernels were examined, at least {MIN_KERNELS} are needed"
    for each in examined:
        yield from (f"{each.kernel}: {problem}" for problem in _problems(each))


def _problems(each: Examined) -> Iterator[str]:
    if not each.ledger.is_closed:
        yield f"the ledger does not balance: {each.ledger}"
    if each.ledger.lost:
        yield f"{each.ledger.lost} events were lost"
    for name in EVIDENCE:
        if not each.incidents[name]:
            yield f"no incident of {name}"
    for difference in each.differences:
        if not difference.is_explained:
            yield str(difference)
