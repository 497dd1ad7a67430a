"""What several commands run: how it ends, and which failure is reported."""

import asyncio
import logging

import pytest

from aod.commands.loop import first_failure, watch_until_stopped
from aod.errors import HostError, TracerError
from aod.smb import module
from aod.smb.filter import Filter
from aod.tracer import needs
from aod.tracer.program import Tracer


def group(*failures: Exception) -> ExceptionGroup[Exception]:
    return ExceptionGroup("outer", [ExceptionGroup("inner", failures)])


@pytest.mark.parametrize("failure", [TracerError("ring"), BrokenPipeError()])
def test_a_failure_that_main_knows_is_told_as_it_is(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    assert first_failure(group(failure, KeyError("second"))) is failure
    assert caplog.records == []


def test_any_other_is_told_in_a_sentence_and_logged_with_its_trace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failure = KeyError("bug")

    error = first_failure(group(failure))

    assert isinstance(error, HostError)
    assert "KeyError('bug')" in str(error)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info
    assert record.exc_info[1] is failure


async def never(tracer: Tracer, stop: asyncio.Event) -> None:
    raise AssertionError


def test_without_cifs_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "missing", lambda: "")
    monkeypatch.setattr(module, "is_loaded", lambda: False)

    with pytest.raises(HostError, match="modprobe cifs, or mount a share"):
        watch_until_stopped(Filter, never)


def test_without_rights_it_says_which_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "missing", lambda: "cannot load BPF programs without CAP_BPF")

    with pytest.raises(HostError, match="without CAP_BPF"):
        watch_until_stopped(Filter, never)
