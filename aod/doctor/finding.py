"""A finding: one line of the report."""

import enum
from dataclasses import dataclass


class Severity(enum.StrEnum):
    """How grave a finding is; a problem stands in the way of watching at all."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about a subject; the text says what to do, where something is to be done."""

    state: Severity
    subject: str
    text: str


def judged(subject: str, problem: str, otherwise: str) -> Finding:
    """Return the problem, or `otherwise` when there is none."""
    if problem:
        return Finding(Severity.PROBLEM, subject, problem)
    return Finding(Severity.OK, subject, otherwise)
