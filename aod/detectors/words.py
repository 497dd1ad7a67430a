"""What is said of a kind of anomaly, and how its evidence is to be read."""

from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

Order: TypeAlias = Literal["worst", "first", "oldest"]
"""Which of its operations are shown: the slowest, the first of each outcome, the oldest."""
Sort: TypeAlias = Literal["slow", "failed", "hung", "lost", "starved", "asked"]
"""What its operations are evidence of; `asked`: a bundle that somebody asked for."""


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one kind, which its detector brings.

    `noun` is what is counted, `verb` what became of it ("12 operations were slow"). `sort` says
    what its operations are evidence of. An `is_urgent` one has bundles of its own in an hour.
    Where `is_open`, its operations have not ended: one that is raised again is the same one, by
    its start, and counts once. `has_process`: a process asked for what is counted.
    """

    noun: str = "operation"
    verb: str = "counted"
    sort: Sort = "failed"
    order: Order = "worst"
    is_urgent: bool = False
    is_open: bool = False
    has_process: bool = True


MANUAL = "manual"
"""The kind of a bundle that somebody asked for: no detector has it."""


@cache
def words_of(kind: str) -> Words:
    """Return the words of a kind, plain ones for a kind that no installed detector has."""
    from aod import detectors  # imports a detector only once its words are wanted

    if kind == MANUAL:
        return Words(noun="request", verb="open", sort="asked", order="oldest")
    for name in detectors.TABLE:
        if name.lower() == kind:
            found: Words = detectors.load(name).words
            return found
    return Words()
