"""What shall not leave the machine: secrets never, names not when the config says `redact`."""

from aod.redact.cleaner import NO_PACKETS, Cleaner, Redactor, Scrubber, for_leftover, make

__all__ = ["NO_PACKETS", "Cleaner", "Redactor", "Scrubber", "for_leftover", "make"]
