"""What goes over the socket is what comes out of it, or is refused."""

import subprocess
import sys
from typing import Any

import pytest

from aod.control import protocol
from aod.control.answers import CollectAnswer, SampleAnswer, SuppressedAnswer, TracerAnswer, read
from aod.control.protocol import VERSION, Answer, Done
from aod.errors import ServiceError
from aod.events import BUCKETS
from aod.tracer.ledger import Ledger
from aod.tracer.probe_states import Attached, ProbeState, RungInUse
from tests import ROOT
from tests.activity.made import SECOND, counter, taken

READ, WRITE = 8, 9
HUGE = 1 << 63
"""A connection id of a kernel that does not tell them."""


def sent(answer: Answer) -> Done:
    done = protocol.read_answer(protocol.done(answer))
    assert done
    return done


def test_a_sample_comes_out_as_it_was_with_its_names() -> None:
    sample = taken(7, {(HUGE, 5, WRITE): counter(900, 12_345, errors=1)}, {(1, 5, READ): 3})
    names = {(HUGE, 5): ("nas01", "media"), (1, 5): ("", "")}

    got = read(SampleAnswer, sent(SampleAnswer.of(sample, names, attached=True)))

    ((key, count),) = got.sample().counters.items()
    assert (got.sample().time_ns, got.sample().load, got.attached) == (7 * SECOND, 0, True)
    assert got.sample().in_flight == {(1, 5, READ): 3}
    assert key == (HUGE, 5, WRITE)
    assert (count.requests, count.errors, count.total_ns) == (2, 1, 13_245_000)
    assert (count.latency == sample.counters[key].latency).all()
    assert got.names().server_and_share(HUGE, 5) == ("nas01", "media")
    assert got.names().server_and_share(9, 9) == ("", "")


@pytest.mark.parametrize("is_loaded", [True, False])
def test_what_is_attached_comes_out_as_it_was(is_loaded: bool) -> None:
    probe = ProbeState("kprobe/x", "a wait", attached=False, missing="no x", for_credits=True)
    attached = Attached(RungInUse(2, "some", "types"), ("rung 1",), 4096, (probe,))

    answer = TracerAnswer.of(Ledger(requests=3), {"events": 1}, attached if is_loaded else None)
    got = read(TracerAnswer, sent(answer))

    assert got == answer
    assert got.attached() == (attached if is_loaded else None)


PLAIN: dict[str, Any] = {
    "time_ns": 1,
    "load": 0,
    "counters": [],
    "in_flight": [],
    "trees": [],
    "attached": True,
}
BAD: dict[str, dict[str, Any]] = {
    "a histogram too short": {"counters": [[1, 5, 8, 1, 0, 0, 9, 9, [1]]]},
    "a number too few": {"counters": [[1, 5, 8, 1, 0, 0, 9, [0] * BUCKETS]]},
    "no list": {"counters": 5},
    "a number that does not fit": {"counters": [[1, 5, 8, 1, 0, 0, 9, 9, [1 << 63] * BUCKETS]]},
    "less than nothing": {"in_flight": [[1, 5, 8, -1]]},
    "a name that is none": {"trees": [[1, 5, "nas01", 7]]},
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_sample_is_refused_with_what_is_wrong(case: str) -> None:
    assert read(SampleAnswer, Done(VERSION, PLAIN)).sample().counters == {}
    (field,) = BAD[case]

    with pytest.raises(ServiceError, match=f"answer to 'sample' cannot be read: {field}"):
        read(SampleAnswer, Done(VERSION, PLAIN | BAD[case]))


def test_an_older_service_that_sends_no_names_is_told_to_be_restarted() -> None:
    without = {key: each for key, each in PLAIN.items() if key != "trees"}

    with pytest.raises(ServiceError, match=r"service is aod 0\.0\.9, .*systemctl restart aod"):
        read(SampleAnswer, Done("0.0.9", without))


@pytest.mark.parametrize(
    ("wanted", "plain"),
    [
        (CollectAnswer, {"bundle": "/var/log/aod/aod_1.tar.zst"}),
        (
            SuppressedAnswer,
            {
                "suppressed": [
                    {
                        "name": "latency",
                        "count": 2,
                        "first": "2026-11-27T20:14:47Z",
                        "last": "2026-11-27T20:14:48Z",
                        "worst_latency_ns": 5,
                    }
                ]
            },
        ),
        (TracerAnswer, {"ledger": {"requests": 3}, "lost": {"events": 1}}),
    ],
)
def test_what_an_older_service_answers_is_read(wanted: type[Answer], plain: dict[str, Any]) -> None:
    assert read(wanted, Done("0.0.9", plain)).REQUEST == wanted.REQUEST


def test_who_reads_an_answer_loads_no_libbpf() -> None:
    code = "import sys, aod.control.answers; print([m for m in sys.modules if 'libbpf' in m])"

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )

    assert (done.stdout, done.stderr) == ("[]\n", "")
