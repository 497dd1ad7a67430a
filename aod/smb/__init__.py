"""What is SMB's own: protocol facts, filter, probes, module, names of ids."""

from aod.smb.protocol import (
    LOWEST_ERROR,
    PENDING,
    QUIET,
    QUIET_ERRORS,
    Command,
    Status,
    command_name,
    error_name,
    status_codes,
    status_error,
    status_name,
    statuses,
)

__all__ = [
    "LOWEST_ERROR",
    "PENDING",
    "QUIET",
    "QUIET_ERRORS",
    "Command",
    "Status",
    "command_name",
    "error_name",
    "status_codes",
    "status_error",
    "status_name",
    "statuses",
]
