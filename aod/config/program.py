"""Whether root may run a program that the config names; a share is never touched to find out."""

import os
import stat
from pathlib import Path

from aod.config.outputdir import share_problems

WHY = "aod touches no share"


def problems(program: Path, mountinfo: str) -> list[str]:
    """Return why a program cannot be run, or should not be by root."""
    if found := share_problems(program, mountinfo, WHY):
        return found
    reason = objection(program)
    return [f"cannot run {program}: {reason}"] if reason else []


def objection(program: Path) -> str:
    """Return why a local program is not run, "" when it is fine; blocks."""
    try:
        real = program.resolve(strict=True)
        for place in (real, real.parent, program.parent):
            if reason := _by_others(place, place.stat()):
                return reason
    except OSError as error:
        return f"{error.strerror} (give another one)"
    if not real.is_file() or not os.access(real, os.X_OK):
        return f"{real} is no program (chmod a+x it, or give another one)"
    return ""


def _by_others(place: Path, status: os.stat_result) -> str:
    if status.st_uid not in (0, os.geteuid()):
        return f"{place} belongs to uid {status.st_uid}, who could change it (chown root it)"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others can write to {place} (chmod go-w it)"
    return ""
