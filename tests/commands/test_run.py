"""`aod run`: how its failures are told (what it does is told by tests/vm)."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import ROOT

WAITING = """
import logging
from pathlib import Path
from aod.commands.run import run
from aod.tracer import needs
logging.basicConfig(level="INFO")
needs.missing_capabilities = needs.missing_types = lambda: ""
run(Path({config!r}))
"""


class Ended(NamedTuple):
    """How a process ended after its signal, and what it still said."""

    code: int
    rest: str
    took_s: float


def shipped_config(folder: Path) -> Path:
    """Write the shipped config with an output directory of the test's."""
    config = folder / "config.yaml"
    shipped = (ROOT / "config/config.yaml").read_text()
    config.write_text(shipped.replace("/var/log/aod", str(folder / "out")))
    return config


def signalled_once_it_says(text: str, code: str, number: signal.Signals) -> Ended:
    """Run code in a Python of its own, and signal it when it has logged `text`."""
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        assert any(text in line for line in iter(process.stderr.readline, ""))
        started_s = time.monotonic()
        process.send_signal(number)
        rest = process.stderr.read()
    return Ended(process.returncode, rest, time.monotonic() - started_s)


@pytest.mark.skipif(Path("/proc/fs/cifs").exists(), reason="cifs is loaded here")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_waiting_for_cifs_it_ends_cleanly_on_a_signal(
    tmp_path: Path, number: signal.Signals
) -> None:
    code = WAITING.format(config=str(shipped_config(tmp_path)))

    ended = signalled_once_it_says("cifs is not loaded: waiting for it", code, number)

    assert (ended.code, "Traceback" in ended.rest) == (0, False)
    assert ended.took_s < 2


@pytest.mark.skipif(Path("/proc/fs/cifs").exists(), reason="cifs is loaded here")
def test_a_thread_that_is_stuck_does_not_hold_the_end(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    stuck = f"""
from aod.smb.names import Names
def hang(names):
    logging.getLogger("aod").info("hangs")
    open({str(fifo)!r})
Names.refresh = hang
"""
    code = WAITING.replace("run(Path", f"{stuck}run(Path").format(
        config=str(shipped_config(tmp_path))
    )

    ended = signalled_once_it_says("hangs", code, signal.SIGTERM)

    assert (ended.code, "Traceback" in ended.rest) == (0, False)
    assert ended.took_s < 5
