"""A bundle of an incident in which fifty names and twenty secrets stand, in all ways."""

import asyncio
import io
import json
import os
import re
import socket
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import zstandard

from aod import redact
from aod.bundle import Bundle, OutputDirectory, recover
from aod.config import Config
from aod.detectors.anomaly import Anomaly, AnomalyType
from aod.incidents.incident import Incident
from aod.redact import Redactor
from aod.redact.pseudonyms import read
from aod.report.summary import render
from tests.children import make_runner
from tests.conftest import Collect, make_config
from tests.disk import unrecorded
from tests.evidence import make_evidence
from tests.redact import seeded
from tests.redact.seeded import NAMES, SECRETS
from tests.report import manifests

GOLDEN = Path(__file__).parent / "data" / "summary.txt"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return seeded.fake_root(tmp_path / "root")


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, state: Path, root: Path) -> None:
    """A machine with the seeded names; redaction reads of it and no other."""
    monkeypatch.setattr(socket, "gethostname", lambda: "plexhost")
    monkeypatch.setattr(redact, "make", lambda *, redact: Redactor(state, root))


def seeded_config(path: Path) -> Config:
    anomaly = {
        "type": "Latency",
        "acceptable_count": 0,
        "actions": ["debugdata"],
        "shares": ["//fin01/Group Data", "!//kestrel/*"],
        "processes": ["ledgerd", "swift*"],
    }
    return make_config(
        path,
        redact=True,
        guardian={"anomalies": {"treasury-slow": anomaly}},
        watcher={"actions": ["debugdata"], "post_trigger_sec": 0},
    )


async def keep(output: OutputDirectory, script: dict[str, Collect], at_ns: int = 1) -> Path:
    """Run an incident to its end and return the sealed file."""
    incident = make_incident(output, script, at_ns)
    async with asyncio.timeout(60):
        await incident.collect(output)
        return output.path / await incident.seal()


def make_incident(output: OutputDirectory, script: dict[str, Collect], at_ns: int = 1) -> Incident:
    script.update(seeded.scripts())
    anomaly = Anomaly(
        AnomalyType.LATENCY,
        "treasury-slow",
        at_ns,
        manifests.RAISED + at_ns,
        count=10,
        events=seeded.operations(),
        reason="alice.meier says the Group Data hangs, token=Hunter2-mount",
        shares=("//fin01/Group Data",),
    )
    evidence = make_evidence(seeded.Names())
    config = seeded_config(output.path)
    incident = Incident(anomaly, config, make_runner(), evidence, ())
    # The config allows built-in actions only; these are the test's.
    incident._action_names = lambda anomaly: seeded.ACTIONS  # type: ignore[method-assign]
    reserve = incident._reserve

    def all_fit(bundle: Bundle, output: OutputDirectory) -> Any:
        room = reserve(bundle, output)
        object.__setattr__(room, "actions", seeded.ACTIONS)
        return room

    incident._reserve = all_fit  # type: ignore[method-assign]
    return incident


def members(path: Path) -> dict[str, bytes]:
    with (
        path.open("rb") as file,
        zstandard.ZstdDecompressor().stream_reader(file) as stream,
        tarfile.open(fileobj=stream, mode="r|") as tar,
    ):
        return {
            member.name.partition("/")[2]: (tar.extractfile(member) or io.BytesIO()).read()
            for member in tar
        }


async def names_in(state: Path) -> dict[str, str]:
    return await asyncio.to_thread(read, state)


def raw_bytes(path: Path) -> bytes:
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
        return stream.read()


def forms(name: str) -> Iterator[bytes]:
    """Yield a name in every way in which it could be hidden in bytes, in lower case."""
    stem = re.sub(r"\.(docx|xlsx|csv|pdf|pst|pptx|txt|log)$", "", name).strip("$~()")
    for text in (stem, seeded.octal(stem), json.dumps(stem)[1:-1], quote(stem)):
        yield text.lower().encode()
    yield stem.lower().encode("utf-16-le")


def leaks(data: bytes) -> set[str]:
    low = data.lower()
    names = {name for group in NAMES.values() for name in group} | {seeded.DOMAIN, "bankcorp"}
    names |= {"10.44.7.", "plexhost", "C1C497DE-B5FA"}
    found = {name for name in names if any(form in low for form in forms(name))}
    return found | {secret for secret in SECRETS if secret.lower().encode() in low}


async def test_none_of_fifty_names_and_twenty_secrets_is_in_any_byte_of_the_bundle(
    output: OutputDirectory, script: dict[str, Collect]
) -> None:
    texts = "".join(text() for text in seeded.TEXTS.values()).encode()

    sealed = await keep(output, script)

    assert sum(len(names) for names in NAMES.values()) == 50
    assert len(set(SECRETS)) == 20
    assert leaks(texts) >= {*SECRETS, *(name for group in NAMES.values() for name in group)}
    assert {name: leaks(data) for name, data in members(sealed).items() if leaks(data)} == {}
    assert leaks(raw_bytes(sealed)) == set()
    assert leaks(sealed.name.encode()) == set()


async def test_what_is_told_of_a_bundle_has_the_names_of_the_bundle(
    output: OutputDirectory, script: dict[str, Collect]
) -> None:
    incident = make_incident(output, script)
    async with asyncio.timeout(60):
        await incident.collect(output)
        sealed = output.path / await incident.seal()
        notice = await incident.notice("sealed", str(sealed))

    manifest = json.loads(members(sealed)["manifest.json"])
    assert leaks(json.dumps([notice.as_dict(), notice.fields()]).encode()) == set()
    assert notice.host == manifest["host"]["name"]
    assert notice.anomalies[0].worst
    assert notice.anomalies[0].worst.comm == manifest["anomalies"][0]["worst"]["comm"]


async def test_the_map_outside_has_all_the_names_and_no_secret(
    output: OutputDirectory, script: dict[str, Collect], state: Path
) -> None:
    sealed = await keep(output, script)

    known = {name.strip("()").casefold() for name in (await names_in(state)).values()}
    wanted = {
        (stem[:15] if kind == "process" else stem).strip("$~()").casefold()
        for kind, names in NAMES.items()
        for name in names
        for stem in [re.sub(r"\.(docx|xlsx|csv|pdf|pst|pptx|txt|log)$", "", name)]
    }
    assert wanted - known == set()
    assert [name for name in known if "hunter2" in name] == []
    assert "redaction.json" not in members(sealed)


async def test_a_name_has_one_pseudonym_in_every_file(
    output: OutputDirectory, script: dict[str, Collect], state: Path
) -> None:
    files = members(await keep(output, script))

    pseudonyms = {name: key.encode() for key, name in (await names_in(state)).items()}
    server, share = pseudonyms["fin01"], pseudonyms["Group Data"]
    text = ("debugdata", "stats", "mounts", "dmesg", "journalctl", "syslogs", "smbinfo", "tool")
    assert [name for name in text if server not in files[f"{name}.txt"]] == []
    assert [n for n in text if n != "dmesg" and share not in files[f"{n}.txt"]] == []
    for name in ("manifest.json", "summary.txt", "events.csv"):
        assert server in files[name]


async def test_two_bundles_have_the_same_pseudonyms(
    output: OutputDirectory, script: dict[str, Collect]
) -> None:
    first = members(await keep(output, script, 1))
    second = members(await keep(output, script, 2))

    assert first["debugdata.txt"] == second["debugdata.txt"]
    assert first["dmesg.txt"] == second["dmesg.txt"]
    assert first["events.csv"] == second["events.csv"]


async def test_no_packets_are_kept_and_what_is_no_text_is_left_out(
    output: OutputDirectory, script: dict[str, Collect]
) -> None:
    files = members(await keep(output, script))

    results = json.loads(files["manifest.json"])["actions"]
    assert (results["tcpdump"]["state"], results["tcpdump"]["reason"]) == (
        "skipped",
        "redact keeps no packets",
    )
    assert (results["blob"]["state"], results["blob"]["file"]) == ("skipped", None)
    assert results["blob"]["reason"] == "redact keeps text only"
    assert not {"tcpdump.txt", "blob.txt"} & files.keys()


async def test_the_manifest_tells_sizes_and_digests_of_what_is_in_the_bundle(
    output: OutputDirectory, script: dict[str, Collect]
) -> None:
    files = members(await keep(output, script))

    manifest = json.loads(files["manifest.json"])
    assert manifest["redacted"] is True
    assert manifest["actions"]["dmesg"]["bytes"] == len(files["dmesg.txt"])
    assert manifest["files"]["dmesg.txt"]["bytes"] == len(files["dmesg.txt"])


async def test_events_are_still_read_by_numpy(
    output: OutputDirectory, script: dict[str, Collect], state: Path
) -> None:
    files = members(await keep(output, script))

    array = np.load(io.BytesIO(files["events.npy"]), allow_pickle=False)
    names = await names_in(state)
    assert [names[comm.decode()] for comm in array["comm"]] == [
        process[:15] for process in seeded.PROCESSES
    ]
    assert [names[f"user{uid - 1_000_000}"] for uid in array["uid"].tolist()] == [*seeded.USERS]
    assert array["latency_ns"].tolist() == [300_000_000] * 10


async def test_kernel_functions_statuses_and_system_paths_stay(
    output: OutputDirectory, script: dict[str, Collect]
) -> None:
    files = members(await keep(output, script))

    assert b"wait_for_response+0x4b1/0xb20 [cifs]" in files["dmesg.txt"]
    assert b"has not responded in 180 seconds. Reconnecting..." in files["dmesg.txt"]
    assert b"TCP status: 1 Instance: 1" in files["debugdata.txt"]
    assert b"vers=3.1.1" in files["mounts.txt"]
    assert b".file.core.windows.net" in files["journalctl.txt"]


def test_the_summary_still_reads_well(state: Path, root: Path) -> None:
    manifest = manifests.latency()

    told = render(Redactor(state, root).manifest(manifest))

    assert told == GOLDEN.read_text()
    assert {"nas01", "media", "ffmpeg", "plex1", "episode"} & set(re.findall(r"\w+", told)) == set()


async def test_the_summary_of_a_bundle_tells_what_was_slow_and_for_whom(
    output: OutputDirectory, script: dict[str, Collect], state: Path
) -> None:
    files = members(await keep(output, script))

    names = {name: key for key, name in (await names_in(state)).items()}
    told = files["summary.txt"].decode()
    place = f"//{names['fin01']}/{names['payroll']}$"
    assert f"10 operations on 10 shares (mostly {place}) were slow, SMB2_READ, by " in told
    assert f"Note: {names['alice.meier']} says the {names['Group Data']} hangs" in told
    assert "redact keeps no packets" in told


async def test_nothing_that_is_read_while_it_is_collected_but_raw_files_holds_a_name(
    output: OutputDirectory, script: dict[str, Collect]
) -> None:
    seen: list[bytes] = []
    incident = make_incident(output, script)
    script["smbinfo"] = partial(_look, output, seen)

    async with asyncio.timeout(60):
        await incident.collect(output)
        await incident.seal()

    assert len(seen) == 1
    assert leaks(seen[0]) == set()


async def _look(output: OutputDirectory, seen: list[bytes], *_: object) -> Any:
    from aod.actions.action import Result

    (folder,) = await asyncio.to_thread(lambda: [*output.path.iterdir()])
    seen.append(await asyncio.to_thread((folder / "manifest.json").read_bytes))
    return Result()


UNLINK = os.unlink


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours is done after it."""


@pytest.mark.parametrize("step", ["rename", "unlink"])
@pytest.mark.parametrize("done_before", range(0, 12, 3))
async def test_a_bundle_that_was_killed_is_redacted_by_the_next_start(
    output: OutputDirectory,
    script: dict[str, Collect],
    monkeypatch: pytest.MonkeyPatch,
    state: Path,
    root: Path,
    step: str,
    done_before: int,
) -> None:
    incident = make_incident(output, script)
    async with asyncio.timeout(60):
        await incident.collect(output)
        with monkeypatch.context() as patch:
            patch.setattr(os, step, partial(_killed_after, [done_before], getattr(os, step)))
            with pytest.raises(Killed):
                await incident.seal()

    assert await asyncio.to_thread(
        recover, output, render, unrecorded, lambda manifest: Redactor(state, root).bundle
    )

    (sealed,) = output.path.iterdir()
    files = members(sealed)
    assert {f"{name}.txt" for name in seeded.TEXTS} <= files.keys()
    assert leaks(raw_bytes(sealed)) == set()
    assert json.loads(files["manifest.json"])["redacted"] is True


def _killed_after(left: list[int], step: Any, name: str, *arguments: Any, **options: Any) -> None:
    if step is UNLINK and name.startswith("."):  # looks for what an earlier kill has left
        UNLINK(name, *arguments, **options)
        return
    if not left[0]:
        raise Killed
    left[0] -= 1
    step(name, *arguments, **options)
