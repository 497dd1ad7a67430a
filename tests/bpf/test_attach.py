"""The kprobe programs in place, as far as a kernel without cifs allows."""

import ctypes
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from aod.errors import TracerError
from aod.events import Count, Kind
from aod.smb.filter import Filter
from aod.smb.probes import CREDITS, LADDER, Rung
from aod.tracer import probe_states
from aod.tracer.program import Tracer
from tests.bpf.conftest import HERE
from tests.bpf.uprobe import attach_uprobe


def waiting(tracer: Tracer) -> set[int]:
    """Return the threads that entered cifs and have sent nothing since."""
    threads, waits = tracer.threads()
    return set(threads[waits["sent_ns"] == 0].tolist())


def test_every_program_passes_the_verifier(tracer: Tracer) -> None:
    assert tracer.counts()[Count.REQUESTS] == 0


def test_a_kprobe_program_fires_as_a_uprobe(tracer: Tracer) -> None:
    attach_uprobe(tracer, "compound_send_recv", "getppid")

    ctypes.CDLL(None).getppid()

    assert threading.get_native_id() in waiting(tracer)


def test_a_detached_program_no_longer_fires(tracer: Tracer) -> None:
    attach_uprobe(tracer, "compound_send_recv", "getppid")
    tracer.detach()

    ctypes.CDLL(None).getppid()

    assert waiting(tracer) == set()


def test_a_request_that_cannot_be_read_is_untracked(tracer: Tracer) -> None:
    attach_uprobe(tracer, "smb_send_rqst", "abs")
    nonsense = ctypes.c_long(1)

    ctypes.CDLL(None).abs(nonsense, nonsense, nonsense)

    ledger = tracer.counts()
    assert ledger[Count.REQUESTS] == ledger[Count.UNTRACKED] == 1


def test_attaching_without_cifs_names_the_probe(tracer: Tracer) -> None:
    if Path("/proc/fs/cifs").exists():
        pytest.skip("cifs is loaded here")

    with pytest.raises(TracerError, match=r"attaching kprobe/\w+ failed"):
        tracer.attach()


def test_an_optional_probe_that_is_missing_is_told_and_does_not_matter(tracer: Tracer) -> None:
    if Path("/proc/fs/cifs").exists():
        pytest.skip("cifs is loaded here")

    with pytest.raises(TracerError, match="attaching kprobe/__smb2_find_mid failed"):
        tracer.attach()

    assert tracer.missing.keys() == {probe.program for probe in LADDER[0].optional}


@pytest.mark.parametrize("rung", LADDER[1:], ids=lambda rung: rung.name)
@pytest.mark.parametrize("kernel_types", ["no types"], indirect=True)
def test_the_lower_rungs_need_no_types_of_cifs(kernel_types: Path, rung: Rung) -> None:
    with Tracer(btf=kernel_types, rung=rung) as tracer:
        assert tracer.open_requests()[0].size == 0


def test_a_file_that_is_no_object_is_refused() -> None:
    with pytest.raises(TracerError, match="opening"):
        Tracer(HERE / "fake.py")


def test_a_closed_tracer_refuses_what_a_late_thread_asks(kernel_types: Path) -> None:
    with Tracer(btf=kernel_types) as tracer:
        tracer.open_requests()

    with pytest.raises(TracerError, match="the tracer is closed"):
        tracer.open_requests()


def test_nothing_is_left_open_by_a_tracer_that_was_closed(kernel_types: Path) -> None:
    with Tracer(btf=kernel_types):
        pass
    before = len(list(Path("/proc/self/fd").iterdir()))

    with Tracer(btf=kernel_types):
        pass

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_loaded_object_is_described_with_a_line_for_each_of_its_probes(tracer: Tracer) -> None:
    rung = LADDER[0]

    attached = probe_states.describe(tracer)

    assert (attached.rung.number, attached.ring_bytes) == (1, 4 << 20)
    assert len(attached.probes) == len(rung.needed) + len(rung.optional) + len(CREDITS)
    sections = {each.section for each in attached.probes}
    assert {"kprobe/smb_send_rqst", "raw_tp/smb3_reconnect"} <= sections
    assert not any(each.attached for each in attached.probes)


def test_a_filter_that_wants_credits_later_has_each_of_their_probes_tried(
    kernel_types: Path,
) -> None:
    without_probes = replace(LADDER[0], optional=(), needed=())
    with Tracer(btf=kernel_types, rung=without_probes) as tracer:
        tracer.attach()
        assert not tracer.missing

        tracer.set_filter(Filter(kinds=frozenset({Kind.CREDIT_WAIT})))

        # cifs is not here to attach to: one that was tried is missing.
        tried = {*tracer.programs, *tracer.missing}
        assert {probe.program for probe in CREDITS} == tried


def test_a_closed_tracer_keeps_no_map_in_memory(kernel_types: Path) -> None:
    def mapped() -> int:
        return Path("/proc/self/maps").read_text().count("anon_inode:bpf-map")

    before = mapped()
    with Tracer(btf=kernel_types) as tracer:
        assert mapped() > before

    assert mapped() == before
    with pytest.raises(TracerError, match="the tracer is closed"):
        tracer.open_requests()
