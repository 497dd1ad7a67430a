from aod.host.cgroups import unit_of


def test_a_pod_is_named_by_its_uid() -> None:
    uid = "8f3c9a52_5a4e_4a0e_9c6e_0f1d2c3b4a59"
    path = f"/kubepods.slice/kubepods-pod{uid}.slice/cri-containerd-1234.scope"

    assert unit_of(path) == f"pod {uid.replace('_', '-')}"


def test_a_unit_is_the_innermost_one() -> None:
    assert unit_of("/user.slice/user-0.slice/session-1.scope") == "session-1.scope"
    assert unit_of("/plain") == "/plain"
