"""A real SMB client in a throw-away virtual machine, resumed in about a second with SMB mounted."""

from tests.vm.lab.errors import (
    CommandError,
    DeadlineError,
    DownloadError,
    GuestError,
    LabError,
)
from tests.vm.lab.lab import Lab, prepare
from tests.vm.lab.machine import SERVED, SHARE, Job, Machine, Result
from tests.vm.lab.system import SYSTEMD, System

__all__ = [
    "SERVED",
    "SHARE",
    "SYSTEMD",
    "CommandError",
    "DeadlineError",
    "DownloadError",
    "GuestError",
    "Job",
    "Lab",
    "LabError",
    "Machine",
    "Result",
    "System",
    "prepare",
]
