"""The commands as processes of their own beside a service that runs."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from aod.actions.action import Context, Result
from aod.actions.output import Output
from aod.bundle import OutputDirectory
from aod.control.listener import Listener
from aod.control.protocol import SOCKET
from aod.processes import orphans
from tests import ROOT
from tests.conftest import Collect, Logged, make_config, names_in
from tests.events import MS
from tests.fakes import FakeTracer, Running, only_manifest, running, slow
from tests.plain import manifest_in

CONFIG = """\
aod_output_dir: {output}
min_free_mb: 0
guardian: {{anomalies: {{latency: {{type: Latency, actions: [mounts]}}}}}}
watcher: {{actions: [mounts], post_trigger_sec: 0}}
"""
SERVICE = """
import logging, sys
from pathlib import Path
from aod.commands.run import run
from aod.tracer import needs
logging.basicConfig(level="INFO")
needs.missing_capabilities = needs.missing_types = lambda: ""
run(Path(sys.argv[1]))
"""
GOES_ON = "aod: the service goes on collecting (see: aod list)\n"
Script = dict[str, Collect]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes root")
without_cifs = pytest.mark.skipif(Path("/proc/fs/cifs").exists(), reason="cifs is loaded here")


@pytest.fixture(autouse=True)
def no_orphans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the service from ending the commands: here they are children of its process."""
    monkeypatch.setattr(orphans, "watch", asyncio.Event().wait)


def write_config(tmp_path: Path, output: Path, more: str = "") -> str:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.format(output=output) + more)
    return str(path)


def start(*arguments: str) -> subprocess.Popen[str]:
    # What runs in the background of a shell inherits that SIGINT is ignored.
    return subprocess.Popen(
        ["env", "--default-signal=INT", sys.executable, "-m", "aod", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    stdout, stderr = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def aod(*arguments: str) -> subprocess.CompletedProcess[str]:
    return finish(start(*arguments))


async def beside(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run aod while the service of this process answers."""
    return await asyncio.to_thread(aod, *arguments)


@asynccontextmanager
async def serving(
    output: OutputDirectory, tracer: FakeTracer, logged: Logged, **keys: Any
) -> AsyncIterator[Running]:
    async with running(make_config(output.path, **keys), output, tracer) as service:
        await logged.until("listening")
        yield service


async def test_collect_has_the_service_make_the_bundle(
    output: OutputDirectory, tracer: FakeTracer, script: Script, logged: Logged, tmp_path: Path
) -> None:
    config = write_config(tmp_path, output.path)

    async with serving(output, tracer, logged):
        done = await beside("collect", "--config", config, "--reason", "the backup hangs")

    assert (done.returncode, done.stderr) == (0, "")
    manifest = await only_manifest(output)
    assert done.stdout == f"{output.path}/aod_{manifest['timestamp']}.tar.zst\n"
    assert manifest["anomalies"][0]["reason"] == "the backup hangs"
    assert manifest["anomalies"][0]["events"][0]["comm"] == "cat"
    assert manifest["tracer"]["rung"] == 1


async def test_collect_for_another_directory_is_none_of_the_services_business(
    output: OutputDirectory, tracer: FakeTracer, script: Script, logged: Logged, tmp_path: Path
) -> None:
    config = write_config(tmp_path, tmp_path / "other")

    async with serving(output, tracer, logged):
        done = await beside("collect", "--config", config)

    assert done.returncode == 0
    assert Path(done.stdout.strip()).parent == tmp_path / "other"
    assert f"the running service keeps its bundles in {output.path}" in done.stderr
    assert [name for name in names_in(output.path) if name.startswith("aod_")] == []


async def test_with_a_config_gone_bad_the_service_still_collects_and_is_listed(
    output: OutputDirectory, tracer: FakeTracer, script: Script, logged: Logged, tmp_path: Path
) -> None:
    config = write_config(tmp_path, tmp_path / "other", "wrong: 1\n")

    async with serving(output, tracer, logged):
        made = await beside("collect", "--config", config, "--reason", "by hand")
        listed = await beside("list", "--config", config)
        shown = await beside("show", "latest", "--config", config)
        missing = await beside("collect", "--config", str(tmp_path / "none"))

    complaint = "aod: the config has problems (aod config check): "
    assert (made.returncode, made.stderr) == (0, f"{complaint}the running service collects\n")
    assert Path(made.stdout.strip()).parent == output.path
    assert listed.stderr == shown.stderr == f"{complaint}bundles of {output.path}\n"
    assert Path(made.stdout.strip()).name in listed.stdout
    assert "by hand" in shown.stdout
    assert (missing.returncode, missing.stdout) == (2, "")


def test_without_a_service_a_bad_config_collects_nothing(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("wrong: 1\n")

    done = aod("collect", "--config", str(config))

    assert (done.returncode, done.stdout) == (2, "")


async def test_ctrl_c_leaves_the_service_collecting(
    output: OutputDirectory, tracer: FakeTracer, script: Script, logged: Logged, tmp_path: Path
) -> None:
    begun, left = asyncio.Event(), asyncio.Event()

    async def waits(context: Context, out: Output) -> Result:
        begun.set()
        await left.wait()
        return Result()

    script["dmesg"] = waits
    config = write_config(tmp_path, output.path)
    async with serving(output, tracer, logged):
        process = await asyncio.to_thread(start, "collect", "--config", config)
        await begun.wait()
        process.send_signal(signal.SIGINT)
        done = await asyncio.to_thread(finish, process)
        left.set()
        await logged.until("bundle sealed")

    assert (done.returncode, done.stdout, done.stderr) == (130, "", GOES_ON)

    assert (await only_manifest(output))["state"] == "sealed"


async def test_top_shows_what_the_services_probes_count(
    output: OutputDirectory, tracer: FakeTracer, logged: Logged
) -> None:
    async with serving(output, tracer, logged):
        done = await beside("top", "--json", "--interval", "0.1", "--count", "2")

    assert (done.returncode, done.stderr) == (0, "")
    *_, last = [json.loads(line) for line in done.stdout.splitlines()]
    (reads,) = last["activities"]
    assert (reads["command"], reads["operations"], reads["in_flight"]) == ("SMB2_READ", 0, 1)
    assert tracer.calls == ["climb", "detach", "close"]


@without_cifs
def test_top_says_once_before_its_table_that_the_service_waits_for_cifs(
    service: subprocess.Popen[str],
) -> None:
    command = f"{sys.executable} -m aod top --interval 0.1 --count 3"

    # script(1) makes a terminal, on which stdout and stderr meet.
    done = subprocess.run(
        ["script", "-qec", command, "/dev/null"],
        cwd=ROOT,
        env=os.environ | {"TERM": "xterm"},
        capture_output=True,
        text=True,
        timeout=60,
    )

    before, *rest = done.stdout.split("cifs is not loaded: the service waits for it")
    assert (done.returncode, len(rest)) == (0, 1)
    assert "┏" not in before
    assert "┏" in rest[0]


async def test_top_whose_service_ends_says_so(
    output: OutputDirectory, tracer: FakeTracer, logged: Logged
) -> None:
    async with serving(output, tracer, logged):
        process = await asyncio.to_thread(start, "top", "--interval", "0.1")
        assert process.stdout
        await asyncio.to_thread(process.stdout.readline)
    done = await asyncio.to_thread(finish, process)

    assert done.returncode == 1
    assert done.stderr.startswith("aod: the service has ended")
    assert "Traceback" not in done.stderr


async def test_list_tells_what_the_service_holds_back(
    output: OutputDirectory, tracer: FakeTracer, script: Script, logged: Logged
) -> None:
    async with serving(output, tracer, logged) as service:
        empty = await beside("list", "--suppressed")
        service.send(slow())
        await logged.until("bundle sealed")
        service.send(slow())
        await logged.until("anomaly held back")
        table = await beside("list", "--suppressed")
        listed = await beside("list", "--suppressed", "--json")

    assert empty.stdout == "nothing was held back since the last bundle\n"
    heading, row = table.stdout.splitlines()
    assert heading.split() == ["anomaly", "times", "first", "last", "worst"]
    assert row.split()[:2] == ["latency", "1"]
    (held,) = json.loads(listed.stdout)
    assert (held["name"], held["worst_latency_ns"]) == ("latency", 300 * MS)


async def test_doctor_tells_the_services_probes(
    output: OutputDirectory, tracer: FakeTracer, logged: Logged
) -> None:
    tracer.missing = {"smb3_tcon": "no such tracepoint"}
    async with serving(output, tracer, logged):
        done = await beside("doctor", "--json")

    told_of = json.loads(done.stdout)["findings"]
    texts = {each["subject"]: each["text"] for each in told_of}
    assert f"runs as process {os.getpid()}, bundles in {output.path}: watching" in texts["service"]
    assert texts["rung"] == "1, the highest: kprobes, with the types of cifs"
    assert {
        "state": "ok",
        "subject": "probe",
        "text": "kprobe/smb_send_rqst: each request as it is sent",
    } in told_of
    assert any("smb3_tcon is missing" in each["text"] for each in told_of)
    assert texts["lost"] == "nothing since the service was started"
    assert "1 not accounted for" in texts["ledger"]


@pytest.mark.parametrize("command", [("list", "--suppressed"), ("top", "--count", "1")])
def test_a_service_of_another_version_is_told(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "runtime").mkdir()
    with Listener.open(tmp_path / "runtime") as listener:
        listener.socket.settimeout(60)
        process = start(*command)
        connection, _ = listener.socket.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b'{"format": 2, "state": "done", "version": "9.9"}\n')
        done = finish(process)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("aod: the running service is aod 9.9, and this is aod ")
    assert "(restart the service: systemctl restart aod)" in done.stderr


@as_root
@pytest.mark.parametrize(
    "command", [("list", "--suppressed"), ("top", "--count", "1"), ("doctor",)]
)
def test_an_ordinary_user_is_told_to_be_root(tmp_path: Path, command: tuple[str, ...]) -> None:
    runtime = Path(f"/tmp/aod-runtime-{os.getpid()}")
    runtime.mkdir(mode=0o700)
    user = ("setpriv", "--reuid", "65534", "--clear-groups")
    if subprocess.run([*user, sys.executable, "-c", "import aod"], cwd=ROOT).returncode:
        pytest.skip("no other user can read this checkout")
    try:
        done = subprocess.run(
            [*user, sys.executable, "-m", "aod", *command],
            cwd=ROOT,
            env=os.environ | {"RUNTIME_DIRECTORY": str(runtime)},
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        shutil.rmtree(runtime)

    assert done.returncode == 1
    assert "cannot ask the running service: permission denied" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


IN_A_CLOSED_DIRECTORY = """
import sys
from pathlib import Path
from aod import __main__
from aod.commands import doctor, options
closed = Path(sys.argv.pop(1))
for module in (doctor, options):
    module.DEFAULT_FILE = closed
__main__.main()
"""
NO_ADVICE = "(run as root)"
NAME_ONE = "(run as root, or name one by --config)"


@as_root
@pytest.mark.parametrize("is_named", [False, True])
@pytest.mark.parametrize(
    ("command", "code", "advice"),
    [
        (("list",), 2, NO_ADVICE),
        (("show", "latest"), 2, NO_ADVICE),
        (("doctor",), 1, NO_ADVICE),
        (("config", "check"), 2, NAME_ONE),
        (("collect",), 2, NAME_ONE),
    ],
)
def test_an_ordinary_user_is_told_that_the_config_is_roots(
    tmp_path: Path, command: tuple[str, ...], code: int, advice: str, is_named: bool
) -> None:
    user = ("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups")
    if subprocess.run([*user, sys.executable, "-c", "import aod"], cwd=ROOT).returncode:
        pytest.skip("no other user can read this checkout")
    closed = Path(f"/tmp/aod-etc-{os.getpid()}")
    closed.mkdir(mode=0o700)
    file = closed / "config.yaml"
    options = ["--config", str(file)] if is_named or command[0] in ("config", "collect") else []
    try:
        file.write_text(CONFIG.format(output=tmp_path / "aod"))
        done = subprocess.run(
            [*user, sys.executable, "-c", IN_A_CLOSED_DIRECTORY, str(file), *command, *options],
            cwd=ROOT,
            env=os.environ | {"RUNTIME_DIRECTORY": "/nonexistent"},
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        shutil.rmtree(closed)

    if command == ("doctor",) and is_named:
        advice = NAME_ONE
    assert f"cannot read {file}: permission denied {advice}" in done.stdout + done.stderr
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`aod run` as a process of its own, which waits for cifs; its log goes to `log`."""
    config = write_config(tmp_path, tmp_path / "aod")
    process = run_service(tmp_path, config)
    yield process
    process.kill()
    process.wait(timeout=10)


def run_service(tmp_path: Path, config: str) -> subprocess.Popen[str]:
    """Start it and wait until its own socket is there, not that of a dead one before it."""
    socket = tmp_path / "runtime" / SOCKET
    stale = socket.lstat().st_ino if socket.exists() else 0
    with (tmp_path / "log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVICE, config], cwd=ROOT, stderr=log, text=True
        )
    wait_for(f"[ -S {socket} ] && [ $(stat -c %i {socket}) != {stale} ]")
    wait_for(f"grep -q 'waiting for it' {tmp_path}/log")
    return process


def wait_for(condition: str) -> None:
    command = ["sh", "-c", f"until {condition}; do sleep 0.05; done"]
    subprocess.run(command, check=True, timeout=60)


@without_cifs
def test_sigusr1_to_a_real_service_makes_a_bundle(
    tmp_path: Path, service: subprocess.Popen[str]
) -> None:
    service.send_signal(signal.SIGUSR1)
    wait_for(f"grep -q 'bundle sealed' {tmp_path}/log")

    (bundle,) = (tmp_path / "aod").glob("aod_*.tar.zst")
    assert manifest_in(bundle)["anomalies"][0]["reason"] == "SIGUSR1"


@without_cifs
def test_a_real_service_answers_and_after_kill_9_its_successor_does(
    tmp_path: Path, service: subprocess.Popen[str]
) -> None:
    config = str(tmp_path / "config.yaml")
    first = aod("collect", "--config", config)
    wait_for(f"[ -s {tmp_path}/state/state.json ]")
    service.kill()
    service.wait(timeout=10)
    left_alone = aod("list", "--suppressed")
    (tmp_path / "log").write_text("")

    successor = run_service(tmp_path, config)
    try:
        second = aod("collect", "--config", config, "--reason", "again")
    finally:
        successor.terminate()
        code = successor.wait(timeout=20)

    assert (first.returncode, second.returncode, code) == (0, 0, 0)
    assert manifest_in(Path(second.stdout.strip()))["anomalies"][0]["reason"] == "again"
    assert left_alone.stdout == "nothing was held back since the last bundle\n"
    assert not (tmp_path / "runtime" / SOCKET).exists()


def test_without_service_and_state_nothing_is_known_of_what_was_held_back(tmp_path: Path) -> None:
    done = aod("list", "--suppressed")

    assert (done.returncode, done.stdout) == (1, "")
    assert "no service runs, and none has left a state in" in done.stderr


def test_a_damaged_state_is_told_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/state.json").write_text("{")

    done = aod("list", "--suppressed")

    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "cannot read the state in" in done.stderr
    assert names_in(tmp_path / "state") == ["state.json"]


@pytest.mark.parametrize("option", ["--dir", "--config"])
def test_suppressed_goes_with_no_directory(tmp_path: Path, option: str) -> None:
    done = aod("list", "--suppressed", option, str(tmp_path))

    assert done.returncode == 2
    assert "--suppressed asks the service" in done.stderr
