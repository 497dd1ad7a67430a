"""A small part of `make fuzz`, and that it finds what there is to find."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from aod.errors import ConfigError
from tests.fuzz.__main__ import fuzz
from tests.fuzz.campaign import Finding, case_of, run
from tests.fuzz.targets import TARGETS, Target

CASES = 500
SEED = 4


def target(outcome: Exception | None) -> Target:
    def meet(case: bytes, folder: Path) -> None:
        if case == b"3" and outcome:
            raise outcome

    return Target("planted", lambda random: str(random.randrange(5)).encode(), meet)


@pytest.mark.parametrize("name", TARGETS)
def test_no_mutated_input_ends_in_a_traceback_or_hangs(name: str) -> None:
    findings = list(run(TARGETS[name], SEED, range(-(-CASES // len(TARGETS)))))

    assert [f"{found.told}\n{found.command}" for found in findings] == []


@pytest.mark.parametrize("name", TARGETS)
def test_a_case_is_the_same_each_time_and_not_the_sample(name: str) -> None:
    cases = [case_of(TARGETS[name], SEED, number) for number in range(20)]

    assert cases == [case_of(TARGETS[name], SEED, number) for number in range(20)]
    assert len(set(cases)) > 15
    assert cases[0] != case_of(TARGETS[name], SEED + 1, 0)


def test_an_exception_is_found_and_its_case_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    findings = fuzz(target(KeyError("planted")), SEED, 0, 30)

    assert {found.case for found in findings} == {b"3"}
    kept = {path.name: path.read_bytes() for path in Path("build/fuzz").iterdir()}
    assert kept == {f"planted-4-{found.number}": b"3" for found in findings}
    assert "KeyError: 'planted'" in findings[0].told
    assert findings[0].command in capsys.readouterr().out


def test_an_error_that_is_told_to_the_user_is_none(tmp_path: Path) -> None:
    assert list(run(target(ConfigError(["planted"])), SEED, range(30))) == []


def spin(case: bytes, folder: Path) -> None:
    while True:
        time.monotonic()


def wait(case: bytes, folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    (folder / "fifo").read_bytes()


@pytest.mark.parametrize(
    ("hang", "told"), [(spin, "after 0.05 s of processor time"), (wait, "after 1 s")]
)
def test_a_case_that_hangs_is_found(hang: Callable[[bytes, Path], None], told: str) -> None:
    (found,) = run(Target("planted", lambda random: b"x", hang), SEED, [7], limit_s=0.05)

    assert isinstance(found, Finding)
    assert found.told.endswith(f"HungError: {told}\n")


def test_mutations_reach_what_is_deep_inside() -> None:
    random = Random(SEED)
    cases = [TARGETS["manifest"].make(random) for _ in range(300)]

    assert any(b'"anomaly": null' in case or b'"latency_ns": "' in case for case in cases)
    assert any(case.startswith(b"[" * 1000) for case in cases)
