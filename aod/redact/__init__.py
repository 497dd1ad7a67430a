"""What shall not leave the machine: secrets never, names not when the config says `redact`."""

from aod.redact.redaction import Redaction, for_leftover, make
from aod.redact.redactor import Redactor
from aod.redact.scrubber import Scrubber

__all__ = ["Redaction", "Redactor", "Scrubber", "for_leftover", "make"]
