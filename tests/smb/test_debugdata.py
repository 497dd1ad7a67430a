import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aod.smb.debugdata import parse_debug_data
from aod.smb.openfiles import parse_open_files
from tests import DATA

WITH_IDS = sorted(path for path in (DATA / "debugdata").iterdir() if path.stem != "5.10")
REAL = (DATA / "debugdata" / "6.12.txt").read_text()
MANY = 1 << 20


SHARES = {
    ("127.0.0.1", "IPC$"),
    ("127.0.0.1", "share"),
    ("nas01.example.org", "IPC$"),
    ("nas01.example.org", "share"),
    ("nas01.example.org", "team files"),
}


@pytest.mark.parametrize("path", WITH_IDS, ids=lambda path: path.stem)
def test_debug_data_of_a_real_kernel_is_understood(path: Path) -> None:
    """An encrypted share, and two shares on one session of three channels; two hung stats."""
    found = parse_debug_data(path.read_text())

    assert sorted(found.servers.values()) == ["127.0.0.1", *["nas01.example.org"] * 3]
    assert sorted(found.sessions.values()) == ["127.0.0.1", "nas01.example.org"]
    assert sorted(found.channels.values()) == [1, 1, 2, 3]
    assert set(found.tcp_status.values()) == {1}
    shares = found.shares.items()
    assert {(found.servers[first], name) for (first, *_), name in shares if first} == SHARES
    assert len(found.pending) == 6
    assert {connection for connection, _ in found.pending} <= found.servers.keys()


def test_debug_data_of_a_real_5_10_tells_no_connections() -> None:
    """The same mounts, but the two shares have a session each, and no extra channels."""
    found = parse_debug_data((DATA / "debugdata" / "5.10.txt").read_text())

    assert (found.servers, found.channels, found.tcp_status) == ({}, {}, {0: 1})
    trees = {(found.sessions[session], name) for (_, session, _), name in found.shares.items()}
    assert trees >= SHARES
    assert len(found.pending) == 6


def test_without_connection_ids_the_session_tells_the_server() -> None:
    text = "\n1) Name: 10.0.0.1 Uses: 1\n\tTCP status: 1\n\tSecurity: x SessionId: 0x7\n"
    share = "\t1) \\\\nas\\media Mounts: 1 DevInfo: 0x20\n\ttid: 0x5\tMaximal Access: 0x1\n"

    found = parse_debug_data(text + share)

    assert (found.servers, found.sessions) == ({}, {7: "nas"})
    assert found.shares == {(0, 7, 5): "media"}


def test_a_server_without_a_host_name_is_named_by_its_address() -> None:
    text = "1) ConnectionId: 0x1 \nTCP status: 1\n\t1) Address: 10.0.0.1 Uses: 1\n"

    assert parse_debug_data(text).servers == {1: "10.0.0.1"}


def test_requests_of_an_older_kernel_are_those_of_the_first_channel() -> None:
    text = "1) ConnectionId: 0x1 Hostname: nas\n\t\tChannel: 2 ConnectionId: 0x2\n"
    request = "\n\tMIDs: \n\tState: 2 com: 5 pid: 310 cbdata: 0000000040e39ded mid 30\n\n--\n"

    assert parse_debug_data(text + request).pending == {(1, 30)}


def test_the_same_ids_of_two_servers_are_kept_apart() -> None:
    text = "\n".join(
        f"{n}) ConnectionId: 0x{n} Hostname: nas{n}\n\tx SessionId: 0x7\n"
        f"\t1) \\\\nas{n}\\{share} Mounts: 1 \n\ttid: 0x5\tMaximal"
        for n, share in ((1, "films"), (2, "music"))
    )

    shares = parse_debug_data(text).shares

    assert shares == {(1, 7, 5): "films", (2, 7, 5): "music", (0, 7, 5): ""}


@given(st.text(max_size=300), st.integers(0, len(REAL)), st.integers(0, len(REAL)))
def test_damaged_text_raises_nothing(noise: str, start: int, end: int) -> None:
    found = parse_debug_data(REAL[:start] + noise + REAL[end:])

    assert len(found.servers) <= len(REAL) + len(noise)


@pytest.mark.parametrize(
    "piece", ["\n", " ", "9", "\\", "1) \\\\\n", "TCP status: 9", "tid: 0x", "State:  mid \n", REAL]
)
def test_huge_text_takes_bounded_time(piece: str) -> None:
    text = (piece * (MANY // len(piece) + 1))[:MANY]
    begun_s = time.thread_time()

    parse_debug_data(text)
    parse_debug_data("1) " + text)
    list(parse_open_files("# <tree id> <persistent fid> <filename>\n" + text))

    assert time.thread_time() - begun_s < 10  # 0.8 s measured; quadratic would be hours
