"""What stands in the arguments of a child is in the audit log: never a secret."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from aod import actions
from aod.actions.action import Context, Skip
from aod.actions.output import Output
from aod.actions.smbinfo import Smbinfo
from aod.processes.child import Child

from .conftest import FakeFiles, within

SECRET = "hunter2-of-this-test"
MOUNTINFO = (
    "36 25 0:31 / /mnt/share rw - cifs //nas/share "
    f"rw,vers=3.1.1,username=ann,password={SECRET},pass={SECRET},domain=X\n"
)


@pytest.mark.parametrize("name", actions.NAMES)
async def test_no_password_of_a_mount_is_an_argument_of_a_child(
    name: str, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text(MOUNTINFO)
    started: list[tuple[str, ...]] = []

    def start(owner: str, argv: Any, *_: Any, **__: Any) -> None:
        started.append(tuple(argv))
        raise OSError("not started in this test")

    monkeypatch.setattr(Child, "running", start)
    smbinfo = name == "smbinfo"
    action = Smbinfo("true", root=tmp_path) if smbinfo else actions.create(name)
    output = Output(FakeFiles(tmp_path / "files"), action.file_name, 1 << 20)

    with suppress(OSError, Skip):
        await action.collect(within(context, timeout_s=5), output)
    await output.close()

    assert bool(started) or not smbinfo
    assert [argv for argv in started if any(SECRET in argument for argument in argv)] == []
