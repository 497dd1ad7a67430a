"""What is said of a kind of anomaly, and how its evidence is to be read."""

import logging
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

from aod import detectors
from aod.detectors import AnomalyType

log = logging.getLogger(__name__)

Order: TypeAlias = Literal["worst", "first", "oldest"]
"""Which of its operations are shown: the slowest, the first of each outcome, the oldest."""
Sort: TypeAlias = Literal["slow", "failed", "hung", "lost", "starved", "asked"]
"""What its operations are evidence of; `asked`: a bundle that somebody asked for."""


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one kind, which its detector brings.

    `noun` is what is counted, `verb` what became of it ("12 operations were slow"); it stands
    without "were" where it `is_active` ("12 operations failed"). `sort` says
    what its operations are evidence of. An `is_urgent` one has bundles of its own in an hour.
    Where `is_open`, its operations have not ended: one that is raised again is the same one, by
    its start, and counts once. `has_process`: a process asked for what is counted.
    """

    noun: str = "operation"
    verb: str = "counted"
    is_active: bool = False
    sort: Sort = "failed"
    order: Order = "worst"
    is_urgent: bool = False
    is_open: bool = False
    has_process: bool = True


MANUAL = Words(noun="request", verb="open", sort="asked", order="oldest")
PLAIN = Words()
"""Of a kind that no installed detector has, or whose detector brings none."""


@cache
def words_of(kind: str) -> Words:
    """Return the words of a kind; what keeps a third party from saying its own is logged."""
    if kind == AnomalyType.MANUAL:
        return MANUAL
    try:
        words = getattr(detectors.of_kind(kind), "words", None)
    except Exception as error:  # a third party's code: whatever it raises
        log.warning("the detector of an anomaly cannot be loaded kind=%s: %r", kind, error)
        return PLAIN
    return words if isinstance(words, Words) else PLAIN
