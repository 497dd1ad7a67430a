"""What is said of a machine, by files of the test's making."""

from pathlib import Path

import pytest

from aod.doctor import machine
from aod.doctor.finding import Severity
from aod.host.mounts import parse
from aod.smb.module import Module
from tests.host.proc import put_proc_status

RELEASE = "6.1.0-56-amd64"
LOADED = Module(identity=7, users=2)
BUILT_IN = Module(identity=0, users=None)
MOUNT = "36 27 0:52 / /mnt/{name} rw shared:1 - cifs //nas/{name} rw,vers={dialect},cache=strict\n"


def there(folder: Path, *names: str) -> dict[str, Path]:
    """Return the places where types are looked for, some of which are there."""
    for name in names:
        (folder / name).touch()
    return {name: folder / name for name in ("btf", "module_btf")}


@pytest.mark.parametrize(
    ("capabilities", "state", "text"),
    [
        (0x1FFFFFFFFFF, Severity.OK, "CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF"),
        (0, Severity.PROBLEM, "without CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF"),
        (0x8000200000, Severity.PROBLEM, "without CAP_PERFMON (run aod as root)"),
    ],
)
def test_a_capability_that_is_missing_is_named(
    tmp_path: Path, capabilities: int, state: Severity, text: str
) -> None:
    put_proc_status(tmp_path / "status", capabilities)

    found = machine.rights(tmp_path / "status")

    assert found.state is state
    assert text in found.text


@pytest.mark.parametrize(
    ("release", "found", "names", "state", "text"),
    [
        (RELEASE, LOADED, ("btf", "module_btf"), Severity.OK, "and of the module cifs"),
        (RELEASE, LOADED, ("btf",), Severity.WARNING, "CONFIG_DEBUG_INFO_BTF_MODULES=y"),
        (RELEASE, None, ("btf",), Severity.OK, "comes with the module"),
        (RELEASE, BUILT_IN, ("btf",), Severity.OK, "built in"),
        (RELEASE, LOADED, (), Severity.PROBLEM, "CONFIG_DEBUG_INFO_BTF=y"),
        ("5.10.0-46-amd64", LOADED, ("btf",), Severity.OK, "as shipped: "),
    ],
)
def test_where_the_types_come_from_is_told(
    tmp_path: Path,
    release: str,
    found: Module | None,
    names: tuple[str, ...],
    state: Severity,
    text: str,
) -> None:
    told = machine.types(release, found, **there(tmp_path, *names))

    assert told.state is state
    assert text in told.text


@pytest.mark.parametrize(
    ("text", "state", "start"),
    [
        ("", Severity.OK, "not in this kernel"),
        ("[none] integrity confidentiality\n", Severity.OK, "none"),
        ("none [integrity] confidentiality\n", Severity.OK, "integrity"),
        (
            "none integrity [confidentiality]\n",
            Severity.PROBLEM,
            "confidentiality: forbids kprobes",
        ),
    ],
)
def test_only_lockdown_for_confidentiality_stands_in_the_way(
    text: str, state: Severity, start: str
) -> None:
    found = machine.lockdown(text)

    assert found.state is state
    assert found.text.startswith(start)


@pytest.mark.parametrize(
    ("lacking", "switch", "state", "text"),
    [
        ("", "1\n", Severity.OK, "to be had"),
        ("", "", Severity.OK, "to be had"),
        ("", "0\n", Severity.PROBLEM, "switched off (echo 1 > /sys/kernel/debug/kprobes/enabled)"),
        ("this kernel has no kprobes", "", Severity.PROBLEM, "this kernel has no kprobes"),
    ],
)
def test_kprobes_that_are_switched_off_see_nothing(
    lacking: str, switch: str, state: Severity, text: str
) -> None:
    found = machine.kprobes(lacking, switch)

    assert found.state is state
    assert text in found.text


@pytest.mark.parametrize(
    ("found", "listed", "state", "text"),
    [
        (LOADED, "", Severity.OK, "loaded, used 2 times"),
        (BUILT_IN, "", Severity.OK, "built into the kernel"),
        (None, "", Severity.PROBLEM, f"linux-modules-extra-{RELEASE}"),
        (None, "kernel/fs/nfs/nfs.ko: a b", Severity.PROBLEM, "has none"),
        (
            None,
            "kernel/fs/nfs/nfs.ko:\nkernel/fs/smb/client/cifs.ko.xz: kernel/lib/crc.ko.xz",
            Severity.PROBLEM,
            "modprobe cifs, or mount a share (kernel/fs/smb/client/cifs.ko.xz is there)",
        ),
    ],
)
def test_without_cifs_it_says_whether_there_is_one_to_load(
    tmp_path: Path, found: Module | None, listed: str, state: Severity, text: str
) -> None:
    (tmp_path / RELEASE).mkdir()
    (tmp_path / RELEASE / "modules.dep").write_text(listed)

    told = machine.cifs(found, RELEASE, tmp_path)

    assert told.state is state
    assert text in told.text


def test_a_mount_is_told_with_its_dialect_and_smb1_is_not_seen() -> None:
    mountinfo = MOUNT.format(name="new", dialect="3.1.1") + MOUNT.format(name="old", dialect="1.0")

    new, old = machine.mounts(parse(mountinfo))

    assert (new.state, new.text) == (Severity.OK, "/mnt/new: //nas/new, SMB 3.1.1")
    assert old.state is Severity.WARNING
    assert "/mnt/old: //nas/old speaks SMB1 and is not seen" in old.text


def test_no_mount_is_no_problem() -> None:
    (found,) = machine.mounts(parse("27 1 254:0 / / rw - ext4 /dev/vda rw\n"))

    assert (found.state, found.subject) == (Severity.NOTE, "mount")
