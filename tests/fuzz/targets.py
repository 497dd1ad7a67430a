"""What is fuzzed: how a case is made, and what is done with it.

A target's `run` may raise AodError, and nothing else.
"""

import asyncio
import contextlib
import functools
import io
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from aod.activity.samples import NOTHING, Sample
from aod.bundle import Bundle, OutputDirectory, read_manifest, read_member, recover
from aod.bundle.manifest import Manifest, Suppressed, dump
from aod.commands.list import list_bundles
from aod.commands.show import show
from aod.config.loading import load_with_sources
from aod.control import answers, protocol
from aod.control.answers import SampleAnswer, StatusAnswer, SuppressedAnswer, TracerAnswer
from aod.errors import AodError
from aod.host import files
from aod.host.mounts import mount_of, parse
from aod.host.paths import share_problems
from aod.incidents.cooldown import Cooldowns
from aod.incidents.state import FILE as STATE_FILE
from aod.incidents.state import Moment, StateDirectory
from aod.metrics.endpoint import MAX_HEAD_BYTES, Endpoint
from aod.redact import Redactor, Scrubber
from aod.report.summary import render
from aod.smb.debugdata import parse_debug_data
from aod.smb.names import Names
from aod.smb.openfiles import parse_open_files
from aod.tracer.ledger import Ledger
from aod.tracer.probe_states import RungInUse
from tests import ROOT
from tests.disk import unrecorded
from tests.fuzz import mutate
from tests.redact.seeded import TEXTS
from tests.report.manifests import GOLDEN

DATA = ROOT / "tests" / "data"
LOCAL = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
NAME = "aod_1763806988123456789"

DEBUG_TOKENS = (
    "ConnectionId: 0x1 Hostname: ",
    "TCP status: ",
    "SessionId: 0x",
    "MIDs:",
    " mid ",
    "\n\t1) \\\\nas\\share Mounts: 1",
    "tid: 0x",
    "Channel: 2 ConnectionId: 0x",
    "1) Name: ",
)
FILE_TOKENS = ("# <tree id>", "<ses id>", "<persistent fid>", "<filename>", "<mid>", "# Format:")
LOG_TOKENS = (
    *("\\\\", "//", "/", "=", "password=", "@", ".service", "\ue000", "\ue001", "\x00", "[1]:"),
    *("-----BEGIN PRIVATE KEY-----", "uid=", "S-1-5-21-1-2-3", "fe80::1", "\\040", "%20", '"'),
)
YAML_TOKENS = (
    "type: Latency",
    "actions: [dmesg]",
    "mode: trackonly",
    "guardian:",
    "metrics:",
    "\n  ",
    "listen: '[::1]:1'",
    "textfile: /a.prom",
    "track_codes: [EACCES]",
    "&x {a: *x}",
    "shares: ['*']",
)
MOUNTINFO = LOCAL + (
    "36 22 0:52 / /mnt/a\\040b rw,relatime shared:1 - cifs //nas01/me\\134dia rw,vers=3.1.1\n"
    "37 22 0:53 / /mnt/auto rw - autofs systemd-1 rw\n"
    "38 36 0:54 / /mnt/a\\040b/c rw - smb3 \\\\n\\s rw\n"
)
VARIABLES = {
    "AOD_WATCH_INTERVAL_SEC": "1",
    "AOD_OUTPUT_DIR": "/tmp/aod-none",
    "AOD_GUARDIAN__ANOMALIES__LATENCY__ACTIONS": '["dmesg"]',
    "AOD_METRICS__LISTEN": "127.0.0.1:9455",
    "AOD_WATCHER": "{}",
    "AOD_LOG_LEVEL": "DEBUG",
}
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: text/plain;version=0.0.4;q=0.5\r\n\r\n"
STATE: dict[str, Any] = {
    "moment": {"boot_id": Moment.now().boot_id, "boottime_ns": 10**12, "monotonic_ns": 10**12},
    "cooldowns": {
        "cooldowns": {"latency/normal": {"until_ns": 10**12, "length_ns": 60, "repeated": True}},
        "opened_ns": [10**12, 10**12 + 1],
        "suppressed": [
            {"name": "a", "count": 3, "first_ns": 1, "last_ns": 2, "worst_latency_ns": 3}
        ],
    },
    "service_counts": {"incidents": {"latency": 2}, "deleted": 1, "last_bundle": NAME},
    "format": 1,
}


SAMPLE = Sample(7, {(1, 5, 8): NOTHING}, {(1, 5, 8): 2})
ANSWERS: list[protocol.Answer] = [
    StatusAnswer(7, "/var/log/aod", "abc", "watching", ("audit is off",)),
    SampleAnswer.of(SAMPLE, {(1, 5): ("nas01", "media")}, attached=True),
    TracerAnswer(Ledger(requests=3), {"events": 1}, RungInUse(1, "all", "")),
    SuppressedAnswer((Suppressed("latency", 2),)),
]
CONTROL: list[dict[str, Any]] = [
    json.loads(protocol.request_line("collect", {"reason": "slow", "actions": ["dmesg"]})),
    json.loads(protocol.working()),
    *(json.loads(protocol.done(answer)) for answer in ANSWERS),
    json.loads(protocol.refused("no such request")),
]


@dataclass(frozen=True, slots=True)
class Target:
    """A way into aod: `make` gives a case, `run` does with it what aod does, in a folder."""

    name: str
    make: Callable[[Random], bytes]
    run: Callable[[bytes, Path], None]


def samples(folder: str) -> list[str]:
    """Return the texts of a folder of the tests' data."""
    return [path.read_text() for path in sorted((DATA / folder).iterdir())]


def _without_comments(path: Path) -> str:
    lines = path.read_text().splitlines(keepends=True)
    return "".join(line for line in lines if line.strip() and not line.lstrip().startswith("#"))


DEBUG_DATA, OPEN_FILES = samples("debugdata"), samples("open_files")
CONFIGS = [
    _without_comments(ROOT / "config" / "config.yaml"),
    _without_comments(ROOT / "tests" / "config" / "data" / "seed.yaml"),
]
MANIFESTS = [make() for make in GOLDEN.values()]


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _make_config(random: Random) -> bytes:
    sample = random.choice(CONFIGS)
    if random.random() < 0.05:
        return mutate.data(sample.encode(), random)
    return _encoded(mutate.text(sample, random, YAML_TOKENS))


def _run_config(case: bytes, folder: Path) -> None:
    path = folder / "config.yaml"
    path.write_bytes(case)
    loaded = load_with_sources(path, {}, parse(LOCAL))
    loaded.warnings()
    json.dumps(loaded.config.plain())
    list(loaded.leaves())
    loaded.config.fingerprint()


def _make_environment(random: Random) -> bytes:
    variables = dict(VARIABLES)
    for name in random.sample(sorted(variables), 2):
        value = variables.pop(name)
        renamed = mutate.text(name, random, ("__", "AOD_")) if random.random() < 0.5 else name
        variables[renamed[:500]] = mutate.text(value, random, ("[", "]", '{"a":'))
    return json.dumps(variables).encode()


def _run_environment(case: bytes, folder: Path) -> None:
    path = folder / "config.yaml"
    path.write_text(CONFIGS[1])
    list(load_with_sources(path, json.loads(case), parse(LOCAL)).leaves())


def _make_debug_data(random: Random) -> bytes:
    return _encoded(mutate.text(random.choice(DEBUG_DATA), random, DEBUG_TOKENS))


def _run_debug_data(case: bytes, folder: Path) -> None:
    path = folder / "DebugData"
    path.write_bytes(case)
    parse_debug_data(case.decode(errors="replace"))
    names = Names(path, folder)
    names.refresh()
    for connection_id, tree_id in ((0, 5), (1, 5), (2**64 - 1, 0)):
        names.server_and_share(connection_id, tree_id)
        names.server(connection_id)
        names.channel(connection_id)
        names.is_given_up(connection_id, 1)
    names.is_reconnecting("nas01")


def _make_open_files(random: Random) -> bytes:
    return _encoded(mutate.text(random.choice(OPEN_FILES), random, FILE_TOKENS))


def _run_open_files(case: bytes, folder: Path) -> None:
    for (session, tree, file), name in parse_open_files(case.decode(errors="replace")):
        assert session + tree + file >= 0 or name


def _make_manifest(random: Random) -> bytes:
    return mutate.as_json(json.loads(dump(random.choice(MANIFESTS))), random)


def _run_manifest(case: bytes, folder: Path) -> None:
    """Meet it as a leftover at the start, in the list, and in `aod show`."""
    directory = folder / "out"
    (directory / NAME).mkdir(parents=True, mode=0o700)
    directory.chmod(0o700)
    (directory / NAME / "manifest.json").write_bytes(case)
    (directory / NAME / "raw").mkdir(mode=0o700)
    (directory / NAME / "raw" / "stats.txt").write_bytes(b"content")
    cleaner = Redactor(folder / "names", folder) if len(case) % 2 else Scrubber()
    try:
        _look(directory, NAME)
        with OutputDirectory.open(directory) as output:
            recover(output, render, unrecorded, lambda manifest: cleaner.bundle)
        left = [path.name for path in directory.iterdir()]
        assert left in ([], [f"{NAME}.tar.zst"]), left
        for name in left:
            _look(directory, name)
    finally:
        shutil.rmtree(directory)


def _look(directory: Path, name: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        list_bundles(directory=directory)
        list_bundles(directory=directory, as_json=True)
        with contextlib.suppress(AodError):
            show(str(directory / name))


def _make_logs(random: Random) -> bytes:
    texts = [make() for make in TEXTS.values()]
    return _encoded(mutate.text(random.choice(texts), random, LOG_TOKENS))


def _run_logs(case: bytes, folder: Path) -> None:
    """Redact it as a file of a bundle."""
    raw, clean = folder / "raw", folder / "clean"
    for directory in (raw, clean):
        directory.mkdir()
    (raw / "x.txt").write_bytes(case)
    fds = [files.open_directory(directory) for directory in (raw, clean)]
    try:
        Redactor(folder / "names", folder).bundle(Manifest(1, "collecting"), *fds)
        assert not list(raw.iterdir())
    finally:
        for fd in fds:
            os.close(fd)
        for directory in (raw, clean):
            shutil.rmtree(directory)


def _make_sealed(random: Random) -> bytes:
    return mutate.data(_sealed(random.randrange(len(MANIFESTS))), random)


@functools.cache
def _sealed(index: int) -> bytes:
    """Return a sealed bundle with one of the manifests."""
    with (
        tempfile.TemporaryDirectory() as folder,
        OutputDirectory.open(Path(folder) / "out") as output,
    ):
        bundle = Bundle.create(output, int(NAME.removeprefix("aod_")))
        bundle.write("stats.txt", b"content " * 100)
        bundle.write("summary.txt", render(MANIFESTS[index]).encode())
        return bundle.seal(MANIFESTS[index]).read_bytes()


def _run_sealed(case: bytes, folder: Path) -> None:
    path = folder / f"{NAME}.tar.zst"
    path.write_bytes(case)
    for name in ("summary.txt", "stats.txt", "no.txt"):
        with contextlib.suppress(AodError):
            read_member(path, name)
    render(read_manifest(path))


def _make_mounts(random: Random) -> bytes:
    return _encoded(mutate.text(MOUNTINFO, random, (" - cifs ", "\\134", "\\999", "//", " / /")))


def _run_mounts(case: bytes, folder: Path) -> None:
    text = case.decode(errors="surrogateescape")
    mounts = parse(text)
    mount_of("/mnt/a b/c/../d", mounts)
    share_problems(folder, mounts)


def _make_state(random: Random) -> bytes:
    return mutate.as_json(STATE, random)


def _run_state(case: bytes, folder: Path) -> None:
    directory = folder / "state"
    directory.mkdir(mode=0o700, exist_ok=True)
    (directory / STATE_FILE).write_bytes(case)
    with StateDirectory(directory) as opened:
        state = opened.load()
        cooldowns = Cooldowns(3_600_000_000_000, 20)
        cooldowns.restore(state.cooldowns, time.monotonic_ns())
        opened.save(cooldowns.saved(), state.tally)
        assert opened.load().tally == state.tally
        for held_back in cooldowns.take_suppressed():
            held_back.described()


def _make_http(random: Random) -> bytes:
    return mutate.data(REQUEST, random)


def _run_http(case: bytes, folder: Path) -> None:
    async def answer() -> bytes:
        reader = asyncio.StreamReader(limit=MAX_HEAD_BYTES)
        reader.feed_data(case)
        reader.feed_eof()
        return await endpoint.answer(reader)

    endpoint = Endpoint("127.0.0.1", 0, lambda accept: (accept.encode(), "text/plain"))
    with contextlib.suppress(asyncio.IncompleteReadError):
        assert asyncio.run(answer()).startswith(b"HTTP/1.1 ")


def _make_control(random: Random) -> bytes:
    return mutate.as_json(random.choice(CONTROL), random)


def _run_control(case: bytes, folder: Path) -> None:
    with contextlib.suppress(AodError):
        protocol.read_request(case)
    with contextlib.suppress(AodError):
        if done := protocol.read_answer(case):
            _read_answers(done)


def _read_answers(done: protocol.Done) -> None:
    for wanted in (StatusAnswer, TracerAnswer, SuppressedAnswer):
        with contextlib.suppress(AodError):
            answers.read(wanted, done)
    with contextlib.suppress(AodError):
        sampled = answers.read(SampleAnswer, done)
        sampled.sample()
        sampled.names()


TARGETS = {
    target.name: target
    for target in (
        Target("config", _make_config, _run_config),
        Target("environment", _make_environment, _run_environment),
        Target("debugdata", _make_debug_data, _run_debug_data),
        Target("open_files", _make_open_files, _run_open_files),
        Target("manifest", _make_manifest, _run_manifest),
        Target("logs", _make_logs, _run_logs),
        Target("sealed", _make_sealed, _run_sealed),
        Target("mounts", _make_mounts, _run_mounts),
        Target("state", _make_state, _run_state),
        Target("http", _make_http, _run_http),
        Target("control", _make_control, _run_control),
    )
}
