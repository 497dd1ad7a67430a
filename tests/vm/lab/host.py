"""Run programs on this machine, and know which of them the lab needs."""

import logging
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.vm.lab.errors import ToolError

log = logging.getLogger(__name__)

_SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PACKAGE_OF_TOOL = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "mmdebstrap": "mmdebstrap",
    "mkfs.ext4": "e2fsprogs",
    "busybox": "busybox-static",
    "cpio": "cpio",
    "depmod": "kmod",
    "zstd": "zstd",
    "xz": "xz-utils",
    "setpriv": "util-linux",
}


def missing() -> str | None:
    """Say what this machine lacks to run the lab, or None when it can."""
    if os.geteuid() != 0:
        return "the lab needs root (mmdebstrap unpacks packages with their owners)"
    lacking = [pkg for tool, pkg in _PACKAGE_OF_TOOL.items() if not which(tool)]
    if lacking:
        return f"the lab needs: apt-get install --no-install-recommends {' '.join(lacking)}"
    return None


def which(tool: str) -> str | None:
    """Find a program, also in the sbin folders that a user's PATH may lack."""
    return shutil.which(tool, path=_SEARCH)


def run(
    argv: Sequence[str | Path],
    *,
    timeout_s: float,
    cwd: Path | None = None,
    stdin: bytes = b"",
    failure: type[ToolError] = ToolError,
) -> str:
    """Run a program to its end and return its stdout.

    Raises `failure` with the end of its stderr when it fails or outlives `timeout_s`.
    """
    log.debug("run argv=%s", argv)
    environment = {**os.environ, "PATH": _SEARCH, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            argv,
            check=False,
            capture_output=True,
            cwd=cwd,
            env=environment,
            input=stdin,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        raise failure(f"{argv[0]} was still running after {timeout_s:g} s: {argv}") from error
    if done.returncode != 0:
        last_words = done.stderr.decode(errors="replace").strip()[-2000:]
        raise failure(f"{argv[0]} failed with code {done.returncode}: {last_words}")
    return done.stdout.decode(errors="replace")
