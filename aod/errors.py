"""What can go wrong, and the exit code that goes with it.

AodError              what failed, on what, and what to do next
├── ConfigError       the config or the command line: exit code 2
├── HostError the machine: root, BTF, cifs, an output directory: exit code 1
│   ├── TracerError   a libbpf call failed
│   └── ServiceError  the running service refuses, or cannot be asked
└── BundleError       a bundle that is not one, or is damaged: exit code 1
"""

import errno
import os
import sys
from collections.abc import Sequence
from typing import ClassVar


class AodError(Exception):
    """Base of all errors that are shown to the user as one sentence."""

    exit_code: ClassVar[int] = 1


class ConfigError(AodError):
    """All that is wrong in one config; `problems` holds a line each."""

    exit_code: ClassVar[int] = 2

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class HostError(AodError):
    """The machine does not offer what aod needs."""


class TracerError(HostError):
    """A call into libbpf failed.

    `code` is the positive errno (0 when libbpf gave none).
    """

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(f"{message}: {os.strerror(code)}" if code else message)
        self.code = code

    @property
    def is_permission(self) -> bool:
        """Whether the kernel refused for lack of a capability."""
        return self.code in (errno.EPERM, errno.EACCES)


class ServiceError(HostError):
    """The running service refuses what it was asked, or it cannot be asked."""


class BundleError(AodError):
    """A file that should be a bundle cannot be read as one."""


def print_error(error: AodError) -> None:
    """Print an error to stderr, each of its sentences on a line of its own."""
    for line in str(error).splitlines():
        sys.stderr.write(f"aod: {line}\n")
