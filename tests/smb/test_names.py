import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aod.events import Events, Kind
from aod.smb import names as module
from aod.smb.debugdata import Connections, parse_debug_data
from aod.smb.names import Names
from tests import DATA
from tests.events import make

SESSION = 0x7FCC6EC9
TREE = 0x1A2B3C4D


def names(tmp_path: Path, text: str, files: str = "") -> Names:
    (tmp_path / "DebugData").write_text(text)
    (tmp_path / "open_files").write_text(files)
    looked_up = Names(tmp_path / "DebugData", tmp_path / "cgroup")
    looked_up.refresh()
    return looked_up


TEXT = rf"""
Servers:
1) ConnectionId: 0x1 Hostname: nas.example.org
Number of credits: 8190,1,1 Dialect 0x311
TCP status: 1 Instance: 1
	Sessions:
	1) Address: 127.0.0.1 Uses: 1 Capability: 0x300047	Session Status: 1
	Security type: RawNTLMSSP  SessionId: 0x{SESSION:x}
	Extra Channels: 1

		Channel: 2 ConnectionId: 0x2
		TCP status: 3 Instance: 1
	Shares:
	0) IPC: \\nas.example.org\IPC$ Mounts: 1 DevInfo: 0x0 Attributes: 0x0
	tid: 0x11	Maximal Access: 0x1f00a9

	1) \\nas.example.org\team files Mounts: 1 DevInfo: 0x20 Attributes: 0x1006f
	tid: 0x{TREE:x}	Optimal sector size: 0x200	Maximal Access: 0x1f01ff
	MIDs:
	Server ConnectionId: 0x1
		State: 2 com: 5 pid: 1234 cbdata: 0000000000000000 mid 123
"""


def test_ids_get_the_names_of_server_and_share(tmp_path: Path) -> None:
    looked_up = names(tmp_path, TEXT)

    assert looked_up.server(1) == "nas.example.org"
    assert looked_up.share(SESSION, TREE) == "team files"
    assert looked_up.share(SESSION, 0x11) == "IPC$"


def test_a_channel_belongs_to_its_server(tmp_path: Path) -> None:
    looked_up = names(tmp_path, TEXT)

    assert looked_up.connections_of("nas.example.org") == {1, 2}


def test_a_connection_is_told_as_a_channel_of_its_session(tmp_path: Path) -> None:
    looked_up = names(tmp_path, TEXT)

    assert [looked_up.channel(connection) for connection in (1, 2, 9)] == ["primary", "2", ""]


def test_a_server_reconnects_when_one_of_its_connections_does(tmp_path: Path) -> None:
    assert names(tmp_path, TEXT).is_reconnecting("nas.example.org")
    assert not names(tmp_path, TEXT.replace("status: 3", "status: 1")).is_reconnecting("nas")


def test_on_a_kernel_without_connection_ids_the_session_tells_the_server(tmp_path: Path) -> None:
    real = (DATA / "debugdata" / "5.10.txt").read_text()
    looked_up = names(tmp_path, real.replace("TCP status: 1", "TCP status: 3", 1))
    events = make(1, connection_id=2**63, session_id=0xB8CADA20, tree_id=0x7EBB45D9)

    assert looked_up.server(2**63, 0xB8CADA20) == "127.0.0.1"
    assert looked_up.share(0xB8CADA20, 0x7EBB45D9, 2**63) == "share"
    assert looked_up.server_and_share(2**63, 0xC00265B4) == ("nas01.example.org", "team files")
    assert looked_up.is_reconnecting("127.0.0.1")
    assert not looked_up.has_unknown(events)


def test_a_tree_of_two_sessions_has_no_name_without_its_session(tmp_path: Path) -> None:
    second = TEXT[TEXT.index("\tSecurity") : TEXT.index("\tMIDs")].replace("team files", "films")
    looked_up = names(tmp_path, TEXT + second.replace(f"{SESSION:x}", "77"))

    assert looked_up.server_and_share(1, TREE) == ("nas.example.org", "")
    assert names(tmp_path, TEXT).server_and_share(2, TREE) == ("nas.example.org", "team files")
    assert looked_up.share(0x77, TREE, 1) == "films"


def test_a_request_that_cifs_waits_for_is_not_given_up(tmp_path: Path) -> None:
    looked_up = names(tmp_path, TEXT)

    assert not looked_up.is_given_up(1, 123)
    assert looked_up.is_given_up(1, 124)
    assert looked_up.is_given_up(2, 123)
    assert not looked_up.is_given_up(9, 123)


def test_without_cifs_every_id_stays_unknown(tmp_path: Path) -> None:
    looked_up = Names(tmp_path / "none", tmp_path / "none")

    looked_up.look_up(make(1, connection_id=1, session_id=1, tree_id=2, file_id=3, cgroup_id=5))

    assert (looked_up.server(1), looked_up.channel(1), looked_up.share(1, 2)) == ("", "", "")
    assert (looked_up.file(1, 2, 3), looked_up.unit(5)) == ("", "")


def test_an_unknown_id_asks_for_a_refresh_and_a_known_one_does_not(tmp_path: Path) -> None:
    looked_up = names(tmp_path, TEXT)

    known = make(1, connection_id=1, session_id=SESSION, tree_id=TREE)

    assert not looked_up.has_unknown(known)
    assert looked_up.has_unknown(make(1, connection_id=9))
    assert looked_up.has_unknown(make(1, connection_id=1, session_id=1, tree_id=2))


def test_a_cgroup_gets_the_name_of_its_unit_and_is_looked_for_once(tmp_path: Path) -> None:
    folder = tmp_path / "cgroup" / "system.slice" / "backup.service"
    folder.mkdir(parents=True)
    looked_up = Names(tmp_path / "none", tmp_path / "cgroup")
    events = make(1, 2)
    events["cgroup_id"] = [folder.stat().st_ino, 2**40]

    looked_up.look_up(events)

    assert looked_up.unit(folder.stat().st_ino) == "backup.service"
    assert not looked_up.has_unknown(events)


FILES = "# <tree id> <ses id> <persistent fid> <flags> <count> <pid> <uid> <filename>\n"
OF_FILE = {"connection_id": 1, "session_id": SESSION, "tree_id": TREE}


def opened(file_id: int, name: str, session: int = SESSION) -> str:
    return f"0x{TREE:x} 0x{session:x} 0x{file_id:x} 0x8000 1 42 0 {name}\n"


def on_file(file_id: int) -> Events:
    return make(1, file_id=file_id, **OF_FILE)


def test_a_file_id_gets_the_name_of_the_open_file(tmp_path: Path) -> None:
    looked_up = names(tmp_path, TEXT, FILES + opened(0x1F, "annual report.txt"))

    looked_up.look_up(on_file(0x1F))

    assert looked_up.file(SESSION, TREE, 0x1F) == "annual report.txt"


def test_a_kernel_that_tells_no_session_of_a_file_names_it_too(tmp_path: Path) -> None:
    line = opened(0x1F, "report").replace(f" 0x{SESSION:x}", "", 1)
    looked_up = names(tmp_path, TEXT, FILES.replace(" <ses id>", "") + line)

    looked_up.look_up(on_file(0x1F))

    assert looked_up.file(SESSION, TREE, 0x1F) == "report"


def test_a_file_that_was_closed_since_keeps_its_name(tmp_path: Path) -> None:
    looked_up = names(tmp_path, TEXT, FILES + opened(0x1F, "first"))
    looked_up.look_up(on_file(0x1F))
    (tmp_path / "open_files").write_text(FILES + opened(0x20, "second"))

    looked_up.look_up(on_file(0x20))

    assert looked_up.file(SESSION, TREE, 0x1F) == "first"
    assert looked_up.file(SESSION, TREE, 0x20) == "second"


def test_a_file_that_was_not_found_is_not_looked_for_again(tmp_path: Path) -> None:
    looked_up = names(tmp_path, TEXT, FILES)

    looked_up.look_up(on_file(0x1F))

    assert not looked_up.has_unknown(on_file(0x1F))
    assert looked_up.has_unknown(on_file(0x20))


def test_of_too_many_open_files_those_that_are_asked_for_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_FILES", 2)
    monkeypatch.setattr(module, "REMEMBERED", 3)
    looked_up = names(tmp_path, TEXT, FILES + "".join(opened(n, f"file {n}") for n in range(1, 9)))

    looked_up.look_up(on_file(8))
    looked_up.look_up(on_file(7))

    told = [looked_up.file(SESSION, TREE, file_id) for file_id in range(1, 9)]
    assert told == ["file 1", "file 2", "", "", "", "", "file 7", ""]


def test_a_tree_connect_reads_the_tables_anew_though_all_is_known(tmp_path: Path) -> None:
    looked_up = names(tmp_path, TEXT)
    known = make(1, **OF_FILE)
    (tmp_path / "DebugData").write_text(TEXT.replace("team files", "renamed"))

    looked_up.look_up(known)
    before = looked_up.share(SESSION, TREE)
    known["kind"] = Kind.TREE_CONNECT
    looked_up.look_up(known)

    assert (before, looked_up.share(SESSION, TREE)) == ("team files", "renamed")


def test_what_a_reconnect_replaced_keeps_its_names_and_waits_for_nothing(tmp_path: Path) -> None:
    looked_up = names(tmp_path, TEXT)
    (tmp_path / "DebugData").write_text("1) ConnectionId: 0x7 Hostname: nas.example.org\n")

    looked_up.refresh()

    assert looked_up.share(SESSION, TREE, 1) == "team files"
    assert looked_up.server_and_share(2, TREE) == ("nas.example.org", "team files")
    assert (looked_up.server(1), looked_up.channel(2)) == ("nas.example.org", "2")
    assert looked_up.connections_of("nas.example.org") == {7}
    assert not looked_up.is_given_up(1, 124)


def test_a_sparing_look_up_rests_after_a_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REST", 10**9)
    looked_up = names(tmp_path, TEXT, FILES)
    looked_up.look_up(on_file(0x1F))
    (tmp_path / "open_files").write_text(FILES + opened(0x20, "second"))

    looked_up.look_up(on_file(0x20), sparing=True)
    resting = looked_up.file(SESSION, TREE, 0x20)
    looked_up.look_up(on_file(0x20))

    assert (resting, looked_up.file(SESSION, TREE, 0x20)) == ("", "second")


def test_the_connection_decides_where_two_servers_gave_out_the_same_ids(tmp_path: Path) -> None:
    twin = TEXT.replace("0x1 Host", "0x8 Host").replace("Id: 0x2", "Id: 0x9").replace("team", "my")

    looked_up = names(tmp_path, TEXT + twin)

    assert looked_up.share(SESSION, TREE, 2) == "team files"
    assert looked_up.share(SESSION, TREE, 9) == "my files"
    assert looked_up.share(SESSION, TREE) == ""


def test_of_a_huge_table_only_the_beginning_is_read(tmp_path: Path) -> None:
    looked_up = names(tmp_path, "x" * 10_000_000 + TEXT, "x" * 10_000_000)

    looked_up.look_up(on_file(0x1F))

    assert (looked_up.server(1), looked_up.file(SESSION, TREE, 0x1F)) == ("", "")


def test_the_shares_of_events_are_named_once_as_a_mount_has_them(tmp_path: Path) -> None:
    looked_up = names(tmp_path, TEXT)
    events = make(1, 2, 3, connection_id=1, session_id=SESSION, tree_id=TREE)
    events["tree_id"][2] = 0x99

    assert looked_up.shares(events) == ["//nas.example.org/team files"]


def test_refresh_and_look_up_never_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up = names(tmp_path, TEXT)
    both, met = threading.Barrier(2), []

    def parse(text: str) -> Connections:
        with contextlib.suppress(threading.BrokenBarrierError):
            met.append(both.wait(timeout=0.2))
        return parse_debug_data(text)

    monkeypatch.setattr(module, "parse_debug_data", parse)
    with ThreadPoolExecutor(2) as threads:
        reading = [
            threads.submit(looked_up.refresh),
            threads.submit(looked_up.look_up, make(1, kind=Kind.RECONNECT)),
        ]
        for each in reading:
            each.result()

    assert met == []


def test_trees_are_named_without_a_look_at_the_kernel_unless_one_is_new(tmp_path: Path) -> None:
    looked_up = names(tmp_path, TEXT)
    (tmp_path / "DebugData").write_text(TEXT.replace("team files", "films"))
    known = {(1, TREE): ("nas.example.org", "team files"), (1, 0): ("nas.example.org", "")}

    assert looked_up.of_trees(known) == known
    assert looked_up.of_trees([(1, TREE), (1, 77)]) == {
        (1, TREE): ("nas.example.org", "films"),
        (1, 77): ("nas.example.org", ""),
    }
