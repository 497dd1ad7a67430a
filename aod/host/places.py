"""Where the service keeps what is no bundle: its state, and what lives as long as it runs."""

import os
from collections.abc import Mapping
from pathlib import Path

STATE = Path("/var/lib/aod")
RUNTIME = Path("/run/aod")


def state_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where state survives a restart: STATE_DIRECTORY of systemd.exec(5), else STATE."""
    return _first(environ, "STATE_DIRECTORY", STATE)


def runtime_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the socket is: RUNTIME_DIRECTORY of systemd.exec(5), else RUNTIME."""
    return _first(environ, "RUNTIME_DIRECTORY", RUNTIME)


def is_made_at_start(directory: Path, environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether it is one of LOGS_DIRECTORY: systemd makes it at each start of the service."""
    return str(directory) in environ.get("LOGS_DIRECTORY", "").split(":")


def _first(environ: Mapping[str, str], variable: str, default: Path) -> Path:
    """Return the first of the directories that systemd names, split by colons."""
    named = environ.get(variable, "").partition(":")[0]
    return Path(named) if named.startswith("/") else default
