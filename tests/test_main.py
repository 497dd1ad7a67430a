"""The command line as a process of its own."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aod.__main__ import app
from tests import ROOT

SHIPPED = ROOT / "config/config.yaml"
AS_NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--")
as_another_user = pytest.mark.skipif(
    os.geteuid() != 0 or any(not path.stat().st_mode & 0o001 for path in ROOT.parents),
    reason="takes root, and a checkout that others may enter (not below /root)",
)
HEAVY = {"numpy", "pydantic", "ruamel", "zstandard", "aod._event", "aod.tracer._libbpf"}

GOOD = """\
aod_output_dir: {output}
guardian:
  anomalies:
    latency:
      type: Latency
      tool: smbslower
      mode: all
      acceptable_count: 10
      track_commands: [{{command: SMB2_READ, threshold: 50}}]
      actions: [dmesg]
    error:
      type: Error
      mode: trackonly
      track_codes: [EACCES]
      actions: [dmesg]
watcher:
  actions: [dmesg]
"""

BAD = {
    "unknown key": ("watcher:", "wacher: 1\nwatcher:", "wacher"),
    "mode": ("mode: all", "mode: al", "trackonly"),
    "command": ("SMB2_READ", "SMB2_REED", "SMB2_READ"),
    "code": ("EACCES", "EACCESS", "EACCES"),
    "action of an anomaly": ("actions: [dmesg]\n    error", "actions: [dmseg]\n    error", "dmesg"),
    "type": ("type: Latency", "type: Latenzy", "Latency"),
    "tool": ("tool: smbslower", "tool: smbslow", "smbslower"),
    "negative": ("acceptable_count: 10", "acceptable_count: -1", "0 to 10000"),
    "no number": ("threshold: 50", "threshold: soon", "threshold"),
    "nan": ("threshold: 50", "threshold: .nan", "threshold"),
    "unlisted action": (
        "\nwatcher:\n  actions: [dmesg]",
        "\nwatcher:\n  actions: [stats]",
        "dmesg",
    ),
    "both lists": (
        "mode: trackonly",
        "mode: excludeonly\n      exclude_codes: [EIO]",
        "both lists are given",
    ),
    "duplicate key": ("mode: all", "mode: all\n      mode: all", "mode"),
    "syntax": ("guardian:", "guardian: [", ":"),
    "relative directory": ("{output}", "./out", "absolute"),
    "unwritable directory": ("{output}", "/etc/hostname/out", "aod_output_dir"),
}
"""What is wrong -> what is replaced in GOOD, by what, and what the message names."""


def aod(
    *arguments: str, prefix: tuple[str, ...] = (), option: str = "-B", **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run aod to its end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AOD_")}
    return subprocess.run(
        [*prefix, sys.executable, option, "-m", "aod", *arguments],
        cwd=ROOT,
        env=kept | environ,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    """Write a config file and return its path; `{output}` in it is a free directory."""

    def put(text: str) -> str:
        path = tmp_path / "config.yaml"
        path.write_text(text.format(output=tmp_path / "out"))
        return str(path)

    return put


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['aod', '--help']\n"
        "from aod.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, *sys.modules, file=sys.stderr)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )

    exit_code, *modules = done.stderr.split()
    assert exit_code == "0"
    assert "collect" in done.stdout
    assert HEAVY & set(modules) == set()


@pytest.mark.parametrize("command", ["run", "trace", "top", "collect", "list", "show", "config"])
def test_every_command_has_help_also_under_o(command: str) -> None:
    done = aod(command, "--help", option="-O")

    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage:" in done.stdout


SHARED = ("bundle", "loop", "options")
"""What several commands need."""


def test_every_file_of_the_commands_is_a_command() -> None:
    stems = {path.stem for path in (ROOT / "aod/commands").glob("*.py")} - {"__init__", *SHARED}

    registered = {
        command.name or getattr(command.callback, "__name__", "")
        for command in app.registered_commands
    }
    groups = {group.name for group in app.registered_groups}

    assert stems == registered | groups


@pytest.mark.parametrize("arguments", [("nonsense",), ("run", "--nonsense"), ("show",)])
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...]) -> None:
    done = aod(*arguments)

    assert done.returncode == 2
    assert "Usage:" in done.stderr


@pytest.mark.parametrize("command", [("run",), ("config", "check")])
@pytest.mark.parametrize("case", BAD)
def test_a_bad_config_is_exit_code_2_with_a_message(
    write: Callable[[str], str], command: tuple[str, ...], case: str
) -> None:
    good, bad, named = BAD[case]
    assert GOOD.count(good) >= 1

    done = aod(*command, "--config", write(GOOD.replace(good, bad, 1)))

    assert done.returncode == 2
    assert named in done.stderr
    assert "config.yaml:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [("run",), ("config", "check"), ("collect",)])
@pytest.mark.parametrize("content", ["", None, "- a list\n"])
def test_a_file_that_holds_no_config_is_exit_code_2(
    tmp_path: Path, command: tuple[str, ...], content: str | None
) -> None:
    path = tmp_path / "config.yaml"
    if content is not None:
        path.write_text(content)

    done = aod(*command, "--config", str(path))

    assert done.returncode == 2
    assert str(path) in done.stderr
    assert "Traceback" not in done.stderr


def test_all_problems_of_a_file_are_told_at_once(write: Callable[[str], str]) -> None:
    text = GOOD.replace("mode: all", "mode: al").replace("EACCES", "EACCESS")

    done = aod("config", "check", "--config", write(text), AOD_WATCHER__MAX_CONCURRENT_TASKS="99")

    assert done.returncode == 2
    for named in ("config.yaml:7:", "config.yaml:14:", "AOD_WATCHER__MAX_CONCURRENT_TASKS"):
        assert named in done.stderr


@pytest.fixture
def shipped() -> Iterator[Path]:
    """The shipped config as an installation has it: the checkout may be that of any user."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "config.yaml"
        path.write_bytes(SHIPPED.read_bytes())
        path.chmod(0o644)
        yield path


@as_another_user
def test_the_config_is_checked_before_root_is_asked_for(shipped: Path) -> None:
    done = aod("run", "--config", str(shipped), prefix=AS_NOBODY, AOD_OUTPUT_DIR="/root/aod")

    assert done.returncode == 2
    assert "aod_output_dir" in done.stderr


@as_another_user
@pytest.mark.parametrize("command", [("run", "--config", "{shipped}"), ("trace",)])
def test_an_ordinary_user_is_told_to_be_root(shipped: Path, command: tuple[str, ...]) -> None:
    words = [word.format(shipped=shipped) for word in command]

    done = aod(*words, prefix=AS_NOBODY, AOD_OUTPUT_DIR=f"/tmp/aod-nobody-{os.getpid()}")

    assert done.returncode == 1
    assert done.stderr.endswith("(run aod as root)\n")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace takes root")
@pytest.mark.parametrize(
    ("hidden", "needed"),
    [
        ("/sys/kernel/btf", "CONFIG_DEBUG_INFO_BTF=y"),
        ("/sys/bus/event_source/devices", "CONFIG_KPROBE_EVENTS=y"),
    ],
)
def test_a_kernel_without_what_is_needed_is_told(hidden: str, needed: str) -> None:
    hide = ("unshare", "--mount", "sh", "-c", f'mount -t tmpfs none {hidden} && exec "$@"', "sh")
    if subprocess.run([*hide, "true"], capture_output=True, timeout=60).returncode:
        pytest.skip("mounting is not allowed here")

    done = aod("trace", prefix=hide)

    assert done.returncode == 1
    assert needed in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("level", "debug_lines"), [("DEBUG", True), ("info", False)])
def test_the_log_level_is_taken_from_the_environment(level: str, debug_lines: bool) -> None:
    code = (
        "import logging, aod.__main__ as m; m._set_up_log(); logging.getLogger('aod').debug('seen')"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"AOD_LOG_LEVEL": level},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ("DEBUG aod: seen" in done.stderr) == debug_lines


def test_an_unknown_log_level_is_exit_code_2(tmp_path: Path) -> None:
    done = aod("list", "--dir", str(tmp_path), AOD_LOG_LEVEL="nonsense")

    assert done.returncode == 2
    assert "allowed: DEBUG, INFO, WARNING, ERROR" in done.stderr


@pytest.mark.parametrize(
    "arguments", [("list", "--dir", "{tmp}"), ("config", "show", "--config", str(SHIPPED))]
)
def test_a_reader_that_went_away_is_no_traceback(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)

    with os.fdopen(writing, "w") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "aod", *(word.format(tmp=tmp_path) for word in arguments)],
            cwd=ROOT,
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )

    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "--dir", "{tmp}"),
        ("config", "show", "--config", str(SHIPPED)),
        ("doctor", "--json"),
        ("--version",),
        ("--help",),
    ],
)
def test_a_full_stdout_is_told_in_a_sentence(
    tmp_path: Path, arguments: tuple[str, ...], unbuffered: str
) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "aod", *(word.format(tmp=tmp_path) for word in arguments)],
            cwd=ROOT,
            env=os.environ | {"AOD_OUTPUT_DIR": str(tmp_path), "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )

    assert done.returncode == 1
    assert done.stderr == "aod: cannot write to stdout: No space left on device\n"


@pytest.mark.parametrize("arguments", ["list --dir .", "--help"])
def test_a_closed_stdout_is_no_traceback(arguments: str) -> None:
    command = f"exec {sys.executable} -m aod {arguments} >&-"

    done = subprocess.run(["sh", "-c", command], cwd=ROOT, stderr=subprocess.PIPE, timeout=60)

    assert (done.returncode, done.stderr) == (0, b"")
