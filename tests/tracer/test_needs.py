"""What is missing is told as what to do."""

from pathlib import Path

import pytest

from aod.errors import HostError
from aod.smb import module
from aod.tracer import needs
from aod.tracer.needs import missing
from tests.host.proc import put_proc_status

ALL = 0x1FFFFFFFFFF


def machine(folder: Path, *there: str, capabilities: int = ALL) -> dict[str, Path]:
    """Return the places that are looked at, on a machine with some of them."""
    put_proc_status(folder / "proc_status", capabilities)
    for name in there:
        (folder / name).touch()
    return {name: folder / name for name in ("proc_status", "btf", "kprobes")}


def test_a_machine_with_everything_lacks_nothing(tmp_path: Path) -> None:
    assert missing(**machine(tmp_path, "btf", "kprobes")) == ""


@pytest.mark.parametrize(
    ("there", "capabilities", "sentence"),
    [
        (("btf", "kprobes"), 0, "without CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF (run aod as root)"),
        (("btf", "kprobes"), ALL & ~(1 << 39), "without CAP_BPF (run aod as root)"),
        (("kprobes",), ALL, "btf is missing (needs CONFIG_DEBUG_INFO_BTF=y)"),
        (("btf",), ALL, "kprobes is missing (needs CONFIG_KPROBE_EVENTS=y)"),
    ],
)
def test_what_is_missing_is_told_with_what_to_do(
    tmp_path: Path, there: tuple[str, ...], capabilities: int, sentence: str
) -> None:
    told = missing(**machine(tmp_path, *there, capabilities=capabilities))

    assert told.endswith(sentence)


@pytest.mark.parametrize(
    ("lacking", "is_loaded", "sentence"),
    [("no kprobes", True, "no kprobes"), ("", False, "modprobe cifs, or mount a share")],
)
def test_what_is_required_and_not_there_is_an_error(
    monkeypatch: pytest.MonkeyPatch, lacking: str, is_loaded: bool, sentence: str
) -> None:
    monkeypatch.setattr(needs, "missing", lambda: lacking)
    monkeypatch.setattr(module, "is_loaded", lambda: is_loaded)

    with pytest.raises(HostError, match=sentence):
        needs.require()


def lacks(monkeypatch: pytest.MonkeyPatch, *things: str, is_loaded: bool) -> None:
    for thing in ("capabilities", "types", "kprobes"):
        told = f"no {thing}" if thing in things else ""
        monkeypatch.setattr(needs, f"missing_{thing}", lambda told=told: told)
    monkeypatch.setattr(module, "is_loaded", lambda: is_loaded)


@pytest.mark.parametrize(
    ("thing", "is_loaded"), [("capabilities", False), ("types", False), ("kprobes", True)]
)
def test_the_service_does_not_start_where_it_can_never_watch(
    monkeypatch: pytest.MonkeyPatch, thing: str, is_loaded: bool
) -> None:
    lacks(monkeypatch, thing, is_loaded=is_loaded)

    with pytest.raises(HostError, match=f"no {thing}"):
        needs.require_for_service()


def test_without_cifs_the_service_waits_even_where_the_kernel_has_no_kprobes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lacks(monkeypatch, "kprobes", is_loaded=False)

    needs.require_for_service()

    assert "when cifs comes: no kprobes" in caplog.text
