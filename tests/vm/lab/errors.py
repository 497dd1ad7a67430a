"""What can go wrong in the lab.

LabError
|-- ToolError           a program on this machine failed or ran too long
|   `-- DownloadError   the Debian archive did not give what was asked for
|-- GuestError          the guest died, panicked or stopped answering
`-- CommandError        a command in the guest ended with another code than 0
    `-- DeadlineError   a command in the guest did not end in time
"""


class LabError(Exception):
    """Stand for every failure of the lab."""


class ToolError(LabError):
    """Say that a program on this machine failed."""


class DownloadError(ToolError):
    """Say that the Debian archive did not give what was asked for."""


class GuestError(LabError):
    """Say that the guest is gone or does not answer; the message ends with its console."""


class CommandError(LabError):
    """Say that a command in the guest ended with another code than 0."""


class DeadlineError(CommandError):
    """Say that a command in the guest did not end in time."""
