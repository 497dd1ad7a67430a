"""`aod run`: how its failures are told (what it does is told by tests/vm)."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aod.commands.run import told
from aod.errors import SurroundingsError, TracerError

ROOT = Path(__file__).parent.parent.parent
WAITING = """
import logging
from pathlib import Path
from aod.commands.run import run
from aod.tracer import needs
logging.basicConfig(level="INFO")
needs.missing_rights = needs.missing_types = lambda: ""
run(Path({config!r}))
"""


def group(*failures: Exception) -> ExceptionGroup[Exception]:
    return ExceptionGroup("outer", [ExceptionGroup("inner", failures)])


@pytest.mark.parametrize("failure", [TracerError("ring"), BrokenPipeError()])
def test_a_failure_that_main_knows_is_told_as_it_is(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    assert told(group(failure, KeyError("second"))) is failure
    assert caplog.records == []


def test_any_other_is_told_in_a_sentence_and_logged_with_its_trace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failure = KeyError("bug")

    error = told(group(failure))

    assert isinstance(error, SurroundingsError)
    assert "KeyError('bug')" in str(error)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info
    assert record.exc_info[1] is failure


@pytest.mark.skipif(Path("/proc/fs/cifs").exists(), reason="cifs is loaded here")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_waiting_for_cifs_it_ends_cleanly_on_a_signal(
    tmp_path: Path, number: signal.Signals
) -> None:
    config = tmp_path / "config.yaml"
    shipped = (ROOT / "config/config.yaml").read_text()
    config.write_text(shipped.replace("/var/log/aod", str(tmp_path / "out")))
    code = WAITING.format(config=str(config))
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        lines = iter(process.stderr.readline, "")
        assert any("cifs is not loaded: waiting for it" in line for line in lines)
        started_s = time.monotonic()
        process.send_signal(number)
        rest = process.stderr.read()

    assert (process.returncode, "Traceback" in rest) == (0, False)
    assert time.monotonic() - started_s < 2


@pytest.mark.skipif(Path("/proc/fs/cifs").exists(), reason="cifs is loaded here")
def test_a_thread_that_is_stuck_does_not_hold_the_end(tmp_path: Path) -> None:
    config, fifo = tmp_path / "config.yaml", tmp_path / "fifo"
    os.mkfifo(fifo)
    shipped = (ROOT / "config/config.yaml").read_text()
    config.write_text(shipped.replace("/var/log/aod", str(tmp_path / "out")))
    stuck = f"""
from aod.names import Names
def hang(names):
    logging.getLogger("aod").info("hangs")
    open({str(fifo)!r})
Names.refresh = hang
"""
    code = WAITING.replace("run(Path", f"{stuck}run(Path").format(config=str(config))
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        lines = iter(process.stderr.readline, "")
        assert any("hangs" in line for line in lines)
        started_s = time.monotonic()
        process.terminate()
        rest = process.stderr.read()

    assert (process.returncode, "Traceback" in rest) == (0, False)
    assert time.monotonic() - started_s < 5
