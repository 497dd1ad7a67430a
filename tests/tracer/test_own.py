"""Which processes are aod's own, over the loads of the tracer."""

from aod.tracer.own import ENDED, OwnProcesses


def test_a_tracer_is_told_of_every_child_and_of_its_end() -> None:
    own, told = OwnProcesses(), list[tuple[int, bool]]()
    own.report_to(lambda pid, is_own: told.append((pid, is_own)))

    with own.own(7):
        assert told == [(7, True)]

    assert told == [(7, True), (7, False)]


def test_a_tracer_that_is_loaded_later_is_told_of_the_children_that_live() -> None:
    own, told = OwnProcesses(), list[tuple[int, bool]]()
    with own.own(7):
        pass

    with own.own(8):
        own.report_to(lambda pid, is_own: told.append((pid, is_own)))

        assert told == [(8, True)]


def test_only_so_many_are_remembered_after_their_end() -> None:
    own = OwnProcesses()

    for pid in range(1, ENDED + 10):
        with own.own(pid):
            pass

    assert list(own.until_ns) == list(range(10, ENDED + 10))
