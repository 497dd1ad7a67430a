"""The unit aod.service under a real systemd, in a container or a guest."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from aod.runtime.journal import BUNDLE
from tests.vm.lab import Result

NAME = "aod.service"
CONFIG = "/etc/aod/config.yaml"
_DROP_INS = f"/run/systemd/system/{NAME}.d"
CIFS_IS_HERE = Path("/proc/fs/cifs").exists()
"""A container has the kernel of this machine."""


class Shell(Protocol):
    """Runs commands somewhere else: a Container, a Machine."""

    def run(self, command: str, timeout_s: float = 60.0, *, check: bool = True) -> Result:
        """Run a command under bash as root."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Asks and tells systemd about aod; `pace` is how much slower than a real machine it is."""

    shell: Shell
    pace: float = 1.0

    def systemctl(self, verb: str, *, check: bool = True) -> Result:
        """Run systemctl on the unit; a start returns once it is ready."""
        return self.shell.run(f"systemctl {verb} {NAME}", 30 * self.pace, check=check)

    def show(self, name: str) -> str:
        """Return one property."""
        asked = self.shell.run(f"systemctl show --value --property={name} {NAME}")
        return asked.stdout.strip()

    def wait_until(self, name: str, value: str, timeout_s: float = 20.0) -> None:
        """Wait until a property is `value`, a pattern of the shell."""
        asked = f"systemctl show --value --property={name} {NAME}"
        self.wait_until_true(f"[[ $({asked}) == {value} ]]", timeout_s)

    def wait_for(self, text: str, timeout_s: float = 20.0, since: str = "") -> None:
        """Wait until the journal of the unit has a line with `text`, after the cursor `since`."""
        after = f"--after-cursor={shlex.quote(since)}" if since else ""
        read = f"journalctl --unit={NAME} --output=cat {after}"
        self.wait_until_true(f"{read} | grep -qF -- {shlex.quote(text)}", timeout_s)

    def wait_until_true(self, condition: str, timeout_s: float) -> None:
        """Wait until a command of bash ends well; CommandError with the unit's status if never."""
        look = f"until {condition}; do sleep 0.1; done"
        limit_s = timeout_s * self.pace
        self.shell.run(
            f"timeout {limit_s} bash -c {shlex.quote(look)} ||"
            f" {{ systemctl status --no-pager --lines=50 {NAME} >&2; exit 1; }}",
            limit_s + 30,
        )

    def collect(self) -> None:
        """Ask it for a bundle."""
        self.shell.run(f"systemctl kill --kill-whom=main --signal=SIGUSR1 {NAME}")

    def sealed(self, anomaly: str, timeout_s: float = 20.0) -> dict[str, str]:
        """Wait for the entry that tells of the sealed bundle of an anomaly; return the last one."""
        told = f"MESSAGE_ID={BUNDLE} AOD_ANOMALY={anomaly} AOD_OUTCOME=sealed"
        read = f"journalctl --unit={NAME} --output=json --all {told} --lines=1"
        self.wait_until_true(f"[[ $({read}) ]]", timeout_s)
        entry: dict[str, str] = json.loads(self.shell.run(read).stdout)
        return entry

    def cursor(self) -> str:
        """Return the place in the journal where it ends now."""
        told = self.shell.run("journalctl --lines=0 --show-cursor").stdout
        return told.partition("cursor: ")[2].strip()

    def journal(self) -> str:
        """Return what the unit and systemd wrote of it."""
        return self.shell.run(f"journalctl --unit={NAME} --output=cat").stdout

    def drop_in(self, name: str, text: str) -> None:
        """Add a drop-in to the unit."""
        written = f"printf '%s\\n' {shlex.quote(text)} > {_DROP_INS}/{name}.conf"
        self.shell.run(f"mkdir -p {_DROP_INS} && {written} && systemctl daemon-reload")

    def drop_out(self, name: str) -> None:
        """Take a drop-in away."""
        self.shell.run(f"rm {_DROP_INS}/{name}.conf && systemctl daemon-reload")
