from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from aod.names import Names, parse_debug_data, unit_of
from tests.events import make

DATA = Path(__file__).parent / "data"
DEBUG_DATA_6_1 = DATA / "debugdata-6.1.txt"

SESSION = 0x7FCC6EC9
TREE = 0x1A2B3C4D


def names(tmp_path: Path, text: str) -> Names:
    (tmp_path / "DebugData").write_text(text)
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


def test_a_server_reconnects_when_one_of_its_connections_does(tmp_path: Path) -> None:
    assert names(tmp_path, TEXT).is_reconnecting("nas.example.org")
    assert not names(tmp_path, TEXT.replace("status: 3", "status: 1")).is_reconnecting("nas")


def test_a_request_that_cifs_waits_for_is_not_given_up(tmp_path: Path) -> None:
    looked_up = names(tmp_path, TEXT)

    assert not looked_up.is_given_up(1, 123)
    assert looked_up.is_given_up(1, 124)
    assert looked_up.is_given_up(2, 123)
    assert not looked_up.is_given_up(9, 123)


def test_debug_data_of_a_real_6_1_is_understood() -> None:
    found = parse_debug_data(DEBUG_DATA_6_1.read_text())

    assert set(found.servers.values()) == {"127.0.0.1"}
    assert set(found.tcp_status.values()) == {1}
    assert set(found.shares.values()) == {"IPC$", "share"}


def test_without_cifs_every_id_stays_unknown(tmp_path: Path) -> None:
    looked_up = Names(tmp_path / "none", tmp_path / "none")

    looked_up.refresh(frozenset({5}))

    assert (looked_up.server(1), looked_up.share(1, 2), looked_up.unit(5)) == ("", "", "")


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
    looked_up.refresh(frozenset({folder.stat().st_ino, 2**40}))

    assert looked_up.unit(folder.stat().st_ino) == "backup.service"
    assert not looked_up.has_unknown(make(1, cgroup_id=2**40))


def test_a_pod_is_named_by_its_uid() -> None:
    uid = "8f3c9a52_5a4e_4a0e_9c6e_0f1d2c3b4a59"
    path = f"/kubepods.slice/kubepods-pod{uid}.slice/cri-containerd-1234.scope"

    assert unit_of(path) == f"pod {uid.replace('_', '-')}"
    assert unit_of("/user.slice/user-0.slice/session-1.scope") == "session-1.scope"
    assert unit_of("/plain") == "/plain"


@given(st.text(max_size=300), st.integers(0, len(TEXT)))
def test_damaged_text_raises_nothing(noise: str, place: int) -> None:
    parse_debug_data(TEXT[:place] + noise + TEXT[place:])
