"""Entries as a real journald takes them, in a mount namespace where /run is empty."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aod.runtime import journal
from tests import ROOT

JOURNALD = Path("/usr/lib/systemd/systemd-journald")

AROUND = """
mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /var/log || exit 1
mkdir -p /run/systemd/journal /run/log/journal
"$0" 2>/dev/null &
journald=$!
until [ -S /run/systemd/journal/socket ] && [ -S /run/systemd/journal/stdout ]; do
    kill -0 $journald || exit 1
done
"$@" && journalctl --sync && journalctl -o json --no-pager SYSLOG_IDENTIFIER=aod
kill $journald
wait $journald
"""

# Its stderr is connected as systemd does it for a service (src/core/exec-invoke.c).
SERVICE = """
import logging, os, socket, sys
from aod.runtime import journal
with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
    stream.connect("/run/systemd/journal/stdout")
    stream.sendall(b"aod\\n\\n6\\n1\\n0\\n0\\n0\\n")
    os.dup2(stream.fileno(), 2)
status = os.fstat(2)
journal.log_to(sys.stderr, "INFO", f"{status.st_dev}:{status.st_ino}")
log = logging.getLogger("aod")
log.warning("disk is short")
fields = {"AOD_SHARE": ["//nas/a", "//nas/b\\nPRIORITY=0"], "AOD_COUNT": 3}
log.error("not sealed share=%s", "a\\n<0>b", extra=journal.entry(journal.BUNDLE, fields))
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or not JOURNALD.exists() or not shutil.which("unshare"),
    reason="takes root and systemd-journald",
)
def test_journald_keeps_each_line_once_with_its_priority_and_fields() -> None:
    # In its own pids, all of it ends with unshare.
    apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    inside = [*apart, "bash", "-c", AROUND, str(JOURNALD)]

    done = subprocess.run(
        [*inside, sys.executable, "-c", SERVICE],
        cwd=ROOT,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},  # journald heeds RUNTIME_DIRECTORY
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    found = [json.loads(line) for line in done.stdout.splitlines()]
    # The stream and the datagrams are two ways into the journal: their order may change.
    text, entry = sorted(found, key=lambda each: "MESSAGE_ID" in each)
    assert picked(text) == {"MESSAGE": "WARNING aod: disk is short", "PRIORITY": "4"}
    assert picked(entry) == {
        "MESSAGE": r"not sealed share=a\n<0>b",
        "MESSAGE_ID": journal.BUNDLE,
        "PRIORITY": "3",
        "AOD_SHARE": ["//nas/a", "//nas/b\nPRIORITY=0"],
        "AOD_COUNT": "3",
    }


def picked(entry: dict[str, Any]) -> dict[str, Any]:
    wanted = ("MESSAGE", "MESSAGE_ID", "PRIORITY")
    return {key: entry[key] for key in entry if key in wanted or key.startswith("AOD_")}
