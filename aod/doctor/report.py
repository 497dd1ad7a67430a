"""All findings together."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aod.doctor import machine, probes, service, settings
from aod.doctor.finding import Finding, Severity
from aod.text import plural, printable, table


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, in the order in which it is needed."""

    findings: Sequence[Finding]

    @property
    def can_watch(self) -> bool:
        """Whether nothing stands in the way of seeing requests now."""
        return not self._problems

    def lines(self) -> Iterator[str]:
        """Yield the report as a person reads it."""
        rows = [(each.state, each.subject, each.text) for each in self.findings]
        yield from map(printable, table(("state", "subject", "finding"), rows))
        yield ""
        if self.can_watch:
            yield "aod can watch SMB requests now."
        else:
            yield f"aod cannot watch SMB requests now: {plural(self._problems, 'problem')} above."

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        findings = [asdict(each) for each in self.findings]
        return {"can_watch": self.can_watch, "findings": findings}

    @property
    def _problems(self) -> int:
        return sum(each.state is Severity.PROBLEM for each in self.findings)


def examine(
    config: Path, environ: Mapping[str, str], is_named: bool, hidden: Collection[str] = ()
) -> Report:
    """Look at everything; blocks for some seconds.

    `is_named`: whether the user has named the config file; `hidden` is what is to be
    taken for missing, see aod.doctor.probes. Where a service runs its probes are shown, and
    none are attached beside them.
    """
    findings = list(machine.examine())
    running = service.examine()
    if running is not None and hidden:
        text = "runs; with --hide probes of this command are attached beside its own"
        running, findings = None, [*findings, Finding(Severity.NOTE, "service", text)]
    if running is not None:
        findings += running
    elif any(each.state is Severity.PROBLEM for each in findings):
        findings.append(
            Finding(Severity.NOTE, "rung", "no probe was tried, for the problems above")
        )
    else:
        findings += probes.examine(hidden)
    findings += settings.examine(config, environ, is_named)
    return Report(findings)
