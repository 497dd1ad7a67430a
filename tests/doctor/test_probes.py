"""What is said of the probes, with a tracer that is made up (a real one: tests/vm)."""

from types import SimpleNamespace
from typing import Any, Self

import pytest

from aod.doctor import probes
from aod.doctor.finding import Severity
from aod.errors import TracerError
from aod.events import Kind
from aod.smb.filter import Filter
from aod.smb.probes import CREDITS, LADDER, Probe, Rung
from aod.tracer.probe_states import Attached, ProbeState, RungInUse


class FakeTracer(SimpleNamespace):
    """On a rung, without those probes that are missing."""

    rung: Rung = LADDER[0]
    refusals: tuple[str, ...] = ()
    ring_bytes = 4 << 20

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def section(self, probe: Probe) -> str:
        return f"kprobe/{probe.program}"


def climbed(
    monkeypatch: pytest.MonkeyPatch, missing: dict[str, str] | None = None, **fields: Any
) -> FakeTracer:
    """Have the ladder lead to this tracer, and return it."""
    lacking = missing or {}
    rung = fields.get("rung", LADDER[0])
    programs = [probe.program for probe in (*rung.needed, *rung.optional, *CREDITS)]
    attached = frozenset(programs) - frozenset(lacking)
    tracer = FakeTracer(missing=lacking, programs=attached, **fields)

    def climb(wanted: Filter, hidden: Any) -> FakeTracer:
        tracer.wanted = wanted
        return tracer

    monkeypatch.setattr(probes, "climb", climb)
    return tracer


def test_every_probe_of_the_rung_is_a_line_with_what_it_tells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    climbed(monkeypatch)
    rung = LADDER[0]

    found = [each.text for each in probes.examine() if each.subject == "probe"]

    assert len(found) == len(rung.needed) + len(rung.optional) + len(CREDITS)
    assert "kprobe/smb3_tcon: shares as they are connected" in found


def test_the_waits_for_credits_are_attached_too_and_told_as_wanted_by_credits_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracer = climbed(monkeypatch)

    found = list(probes.examine())[-len(CREDITS) :]

    assert Kind.CREDIT_WAIT in tracer.wanted.kinds
    assert all("when an anomaly of type Credits is watched for" in each.text for each in found)


def test_a_missing_probe_is_a_warning_that_says_what_is_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    climbed(monkeypatch, {"smb3_tcon": "attaching failed: No such file"})

    (found,) = [each for each in probes.examine() if each.state is Severity.WARNING]

    assert "shares as they are connected (attaching failed: No such file)" in found.text


def test_a_lower_rung_is_a_warning_with_the_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    climbed(monkeypatch, rung=LADDER[2], refusals=("rung 1: hidden", "rung 2: hidden"))

    rung, *reasons = [each for each in probes.examine() if each.subject == "rung"]

    assert rung.state is Severity.WARNING
    assert rung.text.startswith("5: tracepoints (degraded: ")
    assert [each.text for each in reasons] == ["not rung 1: hidden", "not rung 2: hidden"]


def test_where_no_rung_holds_that_is_the_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def climb(*_: object, **__: object) -> None:
        raise TracerError("no way to see SMB requests on this kernel")

    monkeypatch.setattr(probes, "climb", climb)

    (found,) = probes.examine()

    assert (found.state, found.subject) == (Severity.PROBLEM, "rung")


def test_the_probes_are_taken_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tracer = climbed(monkeypatch)

    list(probes.examine())

    assert tracer.closed


@pytest.mark.parametrize(
    ("hidden", "count"), [("types", 0), ("find_mid", 0), ("enter_free_credits", 0), ("nonsense", 1)]
)
def test_a_hidden_name_that_is_nothings_is_told(
    monkeypatch: pytest.MonkeyPatch, hidden: str, count: int
) -> None:
    climbed(monkeypatch)

    assert sum("--hide" in each.text for each in probes.examine([hidden])) == count


def test_a_probe_that_is_not_wanted_is_told_as_not_attached() -> None:
    probe = ProbeState("kprobe/x", "a wait", attached=False, missing="", for_credits=True)
    attached = Attached(RungInUse(1, "all", ""), (), 1, (probe,))

    found = list(probes.findings(attached))[-1]

    assert found.state is Severity.NOTE
    assert found.text.startswith("kprobe/x is not attached: a wait; attached when an anomaly")
