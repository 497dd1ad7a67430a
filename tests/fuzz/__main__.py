"""`make fuzz`: many cases of each target; exit code 1 when one is not dealt with as it should."""

import argparse
import sys
import time
from pathlib import Path

from tests.fuzz.campaign import Finding, run
from tests.fuzz.targets import TARGETS, Target

FOLDER = Path("build") / "fuzz"
CASES = 100_000
SHOWN = 20
"""Findings of a target after which it is left alone: most of them will be the same."""


class Progress:
    """Tells on one line of the terminal how far it is; in a log now and then."""

    def __init__(self, name: str, total: int) -> None:
        self._name = name
        self._total = total
        self._started_s = self._told_s = time.monotonic()
        self.done = 0

    def step(self) -> None:
        """Count a case."""
        self.done += 1
        every_s = 0.5 if sys.stdout.isatty() else 30.0
        if time.monotonic() - self._told_s > every_s:
            self._told_s = time.monotonic()
            end = "\r" if sys.stdout.isatty() else "\n"
            print(f"{self._name}: {self.done} of {self._total}", end=end, flush=True)

    def close(self, findings: int) -> None:
        """Tell how it ended."""
        rate = self.done / max(time.monotonic() - self._started_s, 1e-9)
        print(f"{self._name}: {self.done} cases, {rate:.0f} a second, {findings} findings")


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    options = _options()
    chosen = [TARGETS[name] for name in options.target or TARGETS]
    each = -(-options.cases // len(chosen))
    findings = [
        finding for target in chosen for finding in fuzz(target, options.seed, options.first, each)
    ]
    total = f"{each * len(chosen)} cases of {len(chosen)} targets, seed {options.seed}"
    print(f"fuzz: {total}: {len(findings)} findings")
    return 1 if findings else 0


def fuzz(target: Target, seed: int, first: int, cases: int) -> list[Finding]:
    """Run the cases of one target, tell of what is found and keep it below FOLDER."""
    progress = Progress(target.name, cases)
    findings = []
    for finding in run(target, seed, range(first, first + cases), progress.step):
        findings.append(finding)
        _keep(finding)
        if len(findings) == SHOWN:
            print(f"{target.name}: {SHOWN} findings are enough")
            break
    progress.close(len(findings))
    return findings


def _keep(finding: Finding) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{finding.target}-{finding.seed}-{finding.number}"
    path.write_bytes(finding.case)
    print(f"\nFOUND {path}\n{finding.told}again with: {finding.command}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES, help="of all targets together")
    parser.add_argument("--seed", type=int, default=1, help="another one gives other cases")
    parser.add_argument("--first", type=int, default=0, help="number of the first case of each")
    parser.add_argument("--target", action="append", choices=list(TARGETS), help="only this one")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
