import errno
from typing import Any

import pytest

from aod.detectors.error import Error, ErrorAnomaly
from aod.events import Cause, Flag, Kind
from aod.smb import Command
from aod.smb.filter import ALL_COMMANDS, StatusVerdict, fill_errors, status_verdict
from tests.events import SECOND, make

ACCESS_DENIED = 0xC0000022
NOT_FOUND = 0xC0000034


def detector(
    statuses: StatusVerdict,
    *errors: int,
    all_but_errors: bool = False,
    skip_secondary: bool = False,
    acceptable_count: int = 0,
) -> Error:
    return Error(
        "error",
        statuses,
        frozenset(errors),
        all_but_errors,
        skip_secondary,
        acceptable_count,
        SECOND,
        quiet_errors=frozenset(),
    )


def test_a_status_that_counts_raises_and_another_does_not() -> None:
    failing = detector(status_verdict(False, {ACCESS_DENIED: ALL_COMMANDS}))

    anomaly = failing.feed(make(1, 2, 3, status=[ACCESS_DENIED, NOT_FOUND, 0]))

    assert anomaly is not None
    assert list(anomaly.events["status"]) == [ACCESS_DENIED]


def test_a_quiet_status_is_quiet_on_its_command_only() -> None:
    quiet = status_verdict(True, {NOT_FOUND: ALL_COMMANDS - {Command.SMB2_CREATE}})
    events = make(1, 2, status=NOT_FOUND, command=[Command.SMB2_CREATE, Command.SMB2_IOCTL])

    anomaly = detector(quiet).feed(events)

    assert anomaly is not None
    assert list(anomaly.events["command"]) == [Command.SMB2_IOCTL]


def test_success_never_counts() -> None:
    assert detector(StatusVerdict(failures=True)).feed(make(1, 2, status=[0, 0x10B])) is None


@pytest.mark.parametrize(
    ("errors", "all_but_errors", "raised"),
    [
        ({errno.EAGAIN}, False, True),
        ({errno.EIO}, False, False),
        (set(), True, True),
        ({errno.EAGAIN}, True, False),
    ],
)
def test_an_aborted_request_counts_by_its_errno(
    errors: set[int], all_but_errors: bool, raised: bool
) -> None:
    failing = detector(StatusVerdict(), *errors, all_but_errors=all_but_errors)

    anomaly = failing.feed(make(1, kind=Kind.ABORTED, error=-errno.EAGAIN))

    assert (anomaly is not None) is raised


@pytest.mark.parametrize(("skip_secondary", "count"), [(True, 1), (False, 2)])
def test_the_related_follower_of_a_failure_counts_only_when_asked(
    skip_secondary: bool, count: int
) -> None:
    failing = detector(StatusVerdict(failures=True), skip_secondary=skip_secondary)

    anomaly = failing.feed(make(1, 2, status=NOT_FOUND, flags=[0, Flag.SECONDARY]))

    assert anomaly is not None
    assert anomaly.count == count


def test_requests_of_our_own_do_not_count() -> None:
    failing = detector(StatusVerdict(failures=True))

    assert failing.feed(make(1, status=ACCESS_DENIED, flags=Flag.SELF)) is None


def test_the_errno_of_an_unlisted_status_is_eio() -> None:
    events = make(1, 2, 3, status=[0xC0EEEEEE, ACCESS_DENIED, 0])

    fill_errors(events)

    assert list(events["error"]) == [-errno.EIO, -errno.EACCES, 0]


def configured(**keys: Any) -> Error:
    section = ErrorAnomaly(type="Error", acceptable_count=0, actions=(), **keys)
    return Error.from_config("error", section, SECOND)


OUTCOMES = make(
    *range(8),
    status=[ACCESS_DENIED, NOT_FOUND, NOT_FOUND, 0x80000006, 0xC0000016, 0xC0EEEEEE, 0, 0],
    command=[5, 5, 11, 14, 1, 5, 5, 5],
)
OUTCOMES["kind"][7] = Kind.ABORTED
OUTCOMES["error"][7] = -errno.EAGAIN


@pytest.mark.parametrize(
    ("keys", "counted"),
    [
        ({"mode": "all"}, [0, 2, 5, 7]),
        ({"mode": "all", "track_codes": ("STATUS_OBJECT_NAME_NOT_FOUND",)}, [0, 1, 2, 5, 7]),
        ({"mode": "all", "track_codes": ("ENODATA",)}, [0, 2, 3, 5, 7]),
        ({"mode": "all", "exclude_codes": ("EACCES", "EAGAIN")}, [2, 5]),
        ({"mode": "trackonly", "track_codes": ("EACCES", "EAGAIN")}, [0, 7]),
        ({"mode": "trackonly", "track_codes": ("EIO",)}, [4, 5]),
        ({"mode": "trackonly", "track_codes": ("STATUS_ACCESS_DENIED",)}, [0]),
        ({"mode": "excludeonly", "exclude_codes": ("EIO",)}, [0, 1, 2, 3, 7]),
        ({"mode": "excludeonly", "track_codes": ("ENOENT",)}, [0, 3, 4, 5, 7]),
    ],
)
def test_the_modes_count_what_they_promise(keys: dict[str, Any], counted: list[int]) -> None:
    anomaly = configured(**keys).feed(OUTCOMES)

    assert anomaly is not None
    assert anomaly.events["time_ns"].tolist() == counted


@pytest.mark.parametrize(
    ("status", "quiet_on", "counts_on"),
    [
        (0xC0000016, [Command.SMB2_SESSION_SETUP], [Command.SMB2_CREATE]),
        (0x80000006, [Command.SMB2_QUERY_DIRECTORY], [Command.SMB2_CREATE]),
        (0xC0000011, [Command.SMB2_READ], [Command.SMB2_WRITE]),
        (0x80000005, list(Command), []),
        (0xC0000225, [Command.SMB2_IOCTL], [Command.SMB2_CREATE]),
        (NOT_FOUND, [Command.SMB2_CREATE], [Command.SMB2_IOCTL]),
    ],
)
def test_what_is_everyday_life_does_not_count_where_it_belongs(
    status: int, quiet_on: list[Command], counts_on: list[Command]
) -> None:
    commands = quiet_on + counts_on

    anomaly = configured().feed(make(*range(len(commands)), status=status, command=commands))

    assert (anomaly.events["command"].tolist() if anomaly else []) == counts_on


EOPNOTSUPP, EHOSTDOWN, ERESTARTSYS = errno.EOPNOTSUPP, errno.EHOSTDOWN, 512


@pytest.mark.parametrize(
    ("keys", "counted"),
    [
        ({"mode": "all"}, [EHOSTDOWN]),
        ({"mode": "all", "track_codes": ("EOPNOTSUPP",)}, [EOPNOTSUPP, EHOSTDOWN]),
        ({"mode": "all", "exclude_codes": ("EHOSTDOWN",)}, []),
        ({"mode": "trackonly", "track_codes": ("EOPNOTSUPP",)}, [EOPNOTSUPP]),
        ({"mode": "trackonly", "track_codes": ("STATUS_ACCESS_DENIED",)}, []),
        ({"mode": "excludeonly", "exclude_codes": ("EHOSTDOWN",)}, [EOPNOTSUPP, ERESTARTSYS]),
    ],
)
def test_an_operation_without_a_request_counts_unless_its_errno_is_everyday_life(
    keys: dict[str, Any], counted: list[int]
) -> None:
    detector = configured(**keys)
    errors = [EOPNOTSUPP, EHOSTDOWN, ERESTARTSYS]

    anomaly = detector.feed(make(1, 2, 3, kind=Kind.UNSENT, error=[-error for error in errors]))

    found = anomaly.events["error"].tolist() if anomaly else []
    assert [-error for error in found] == counted
    assert [error for error in errors if detector.filter.errors[error]] == counted


def test_the_kernel_is_asked_for_failures_without_a_request_only_where_they_count() -> None:
    statuses_only = configured(mode="trackonly", track_codes=("STATUS_ACCESS_DENIED",))

    assert configured().filter.kinds == {Kind.UNSENT}
    assert statuses_only.filter.kinds == set()


@pytest.mark.parametrize(
    ("kind", "error", "counts"),
    [
        (Kind.ABORTED, errno.EAGAIN, True),
        (Kind.UNANSWERED, errno.EIO, True),
        (Kind.CREDIT_WAIT, errno.EHOSTDOWN, True),
        (Kind.CREDIT_WAIT, ERESTARTSYS, False),
        (Kind.CREDIT_WAIT, 0, False),
        (Kind.RECONNECT, 0, False),
        (Kind.SESSION_EXPIRED, 0, False),
        (Kind.WAITING, 0, False),
        (Kind.TREE_CONNECT, errno.EACCES, False),
    ],
)
def test_of_what_is_no_answer_only_failures_count(kind: Kind, error: int, counts: bool) -> None:
    anomaly = configured().feed(make(1, kind=kind, error=-error, cause=Cause.CREDITS_AWAITED))

    assert (anomaly is not None) is counts
