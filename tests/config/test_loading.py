"""The config: every mistake is told with its place and what is allowed, all of them at once."""

import importlib.util
import json
import re
import time
import typing
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoints
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from aod.config import Config, check_output_dir, load, load_with_sources
from aod.detectors.error import ErrorAnomaly
from aod.detectors.latency import LatencyAnomaly
from aod.errors import ConfigError
from aod.host.mounts import parse
from aod.schema import MAX_GUESSES
from aod.smb import Command
from tests import ROOT

SEED = Path(__file__).parent / "data/seed.yaml"
SHIPPED = ROOT / "config/config.yaml"
LOCAL = parse("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
SHARE = LOCAL + parse("23 22 0:52 / /mnt/a\\040b rw - cifs //nas/share rw\n")

TEXT = """\
watch_interval_sec: 1
aod_output_dir: /tmp/aod-none
guardian:
  anomalies:
    latency:
      type: Latency
      tool: smbslower
      mode: all
      acceptable_count: 10
      default_threshold_ms: 200
      track_commands:
        - command: SMB2_WRITE
          threshold: 50
      exclude_commands: [SMB2_FLUSH]
      actions: [dmesg, stats]
    error:
      type: Error
      mode: all
      track_codes: [EACCES]
      exclude_codes: [STATUS_DISK_FULL]
      actions: [dmesg]
watcher:
  actions: [dmesg, stats]
incidents:
  cooldown_sec: 60
audit:
  enabled: true
"""

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_text(text: str) -> Path:
        path = tmp_path / "c.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write_text


def problems_of(path: Path, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_with_sources(path, environ or {}, LOCAL)
    assert caught.value.exit_code == 2
    return [problem.replace(f"{path.parent}/", "") for problem in caught.value.problems]


WRONG = [
    ("watch_interval_sec: 1", "watch_intervall_sec: 1",
     "1: watch_intervall_sec: unknown key, did you mean 'watch_interval_sec'?"),
    ("watch_interval_sec: 1", "watch_interval_sec: 0.01", "1: watch_interval_sec: 0.01 is not"),
    ("watch_interval_sec: 1", "watch_interval_sec: -1", "from 0.1 to 60, in seconds"),
    ("watch_interval_sec: 1", "watch_interval_sec: .nan", "nan is not allowed"),
    ("watch_interval_sec: 1", "watch_interval_sec: .inf", "inf is not allowed"),
    ("watch_interval_sec: 1", "watch_interval_sec: true", "true is not allowed"),
    ("watch_interval_sec: 1", "watch_interval_sec: '1'", "'1' is not allowed"),
    ("watch_interval_sec: 1", "watch_interval_sec:", "no value is not allowed"),
    ("watch_interval_sec: 1", "watch_interval_sec: 2020-01-01", "'2020-01-01' is not allowed"),
    ("watch_interval_sec: 1", "watch_interval_sec: !!int x", "1: 'x' is not what its tag says"),
    ("watch_interval_sec: 1", "watch_interval_sec: !!python/object:os.x 1", "1: the tag"),
    ("watch_interval_sec: 1", "watch_interval_sec: " + 2000 * "1", "1: a value of more than"),
    ("watch_interval_sec: 1", "? [a]\n: 1", "1: a key must be a plain name"),
    ("mode: all\n      acc", "mode: al\n      acc",
     "8: guardian.anomalies.latency.mode: 'al' is not allowed, did you mean 'all'? "
     "(allowed: all, trackonly, excludeonly)"),
    ("SMB2_WRITE", "SMB2_WRIT",
     "12: guardian.anomalies.latency.track_commands[0].command: 'SMB2_WRIT' is not allowed, "
     "did you mean 'SMB2_WRITE'?"),
    ("[SMB2_FLUSH]", "[SMB2_FLUSH, 9]", "14: guardian.anomalies.latency.exclude_commands[1]: 9"),
    ("[EACCES]", "[EACCESS]", "19: guardian.anomalies.error.track_codes[0]: 'EACCESS' is not "
     "allowed, did you mean 'EACCES'?"),
    ("STATUS_DISK_FULL", "STATUS_SUCCESS", "20: guardian.anomalies.error.exclude_codes[0]"),
    ("actions: [dmesg]", "actions: [dmsg]",
     "21: guardian.anomalies.error.actions[0]: 'dmsg' is not allowed, did you mean 'dmesg'?"),
    ("actions: [dmesg]", "actions: dmesg", "'dmesg' is not allowed (allowed: a list of "),
    ("actions: [dmesg]", "actions: [dmesg, dmesg]", "error.actions: dmesg given twice"),
    ("      actions: [dmesg]\n", "", "16: guardian.anomalies.error.actions: is missing"),
    ("actions: [dmesg]", "actions: [dmesg, tcpdump, mounts]",
     "21: guardian.anomalies.error.actions: tcpdump, mounts not in watcher.actions"),
    ("type: Latency", "type: Latenci", "6: guardian.anomalies.latency.type: 'Latenci' is not "
     "allowed, did you mean 'Latency'? (allowed: Latency, Error, Inflight, Reconnect, "
     "Credits)"),
    ("type: Latency", "type: [Latency]", "6: guardian.anomalies.latency.type: ['Latency'] is not"),
    ("      type: Latency\n", "", "5: guardian.anomalies.latency.type: is missing"),
    ("smbslower", "smbiosnoop", "7: guardian.anomalies.latency.tool: 'smbiosnoop' is not allowed "
     "(allowed: smbslower)"),
    ("count: 10", "count: 1.5", "9: guardian.anomalies.latency.acceptable_count: 1.5"),
    ("count: 10", "count: 10001", "a whole number from 0 to 10000"),
    ("threshold: 50", "threshold: 86400001", "13: guardian.anomalies.latency.track_commands[0]"),
    ("threshold: 50", "threshold: 50\n        - command: SMB2_WRITE", "SMB2_WRITE given twice"),
    ("FLUSH]", "FLUSH, SMB2_FLUSH]", "exclude_commands: SMB2_FLUSH given twice"),
    ("[SMB2_FLUSH]", "[SMB2_WRITE]", "14: guardian.anomalies.latency.exclude_commands: SMB2_WRITE "
     "is tracked as well"),
    ("mode: all\n      track", "mode: trackonly\n      track",
     "20: guardian.anomalies.error.exclude_codes: has no meaning in mode trackonly"),
    ("mode: all\n      track_codes: [EACCES]\n      exclude_codes: [STATUS_DISK_FULL]\n",
     "mode: trackonly\n      track_codes: []\n",
     "19: guardian.anomalies.error.track_codes: is empty in mode trackonly"),
    ("mode: all\n      track_codes: [EACCES]\n      exclude_codes: [STATUS_DISK_FULL]\n",
     "mode: trackonly\n",
     "16: guardian.anomalies.error.track_codes: is empty in mode trackonly"),
    ("mode: all\n      track", "mode: excludeonly\n      track", "both lists are given"),
    ("    latency:", "    Latency:", "5: guardian.anomalies.Latency: 'Latency' is not allowed as"),
    ("    latency:", "    manual:", "5: guardian.anomalies.manual: 'manual' is taken"),
    ("    error:", "    latency:", "16: duplicate key 'latency', first on line 5"),
    ("incidents:\n  cooldown_sec: 60", "incidents: 60", "24: incidents: 60 is not allowed "
     "(allowed: a section with the keys cooldown_sec, "),
    ("mode: all\n      acc", "mode: all\n      shares: [nas/a]\n      acc",
     "9: guardian.anomalies.latency.shares[0]: 'nas/a' is not allowed (allowed: //server/share, "),
    ("mode: all\n      acc", "mode: all\n      shares: ['!']\n      acc", "shares[0]: '!' is not"),
    ("mode: all\n      acc", "mode: all\n      shares: ['//nas/a/b']\n      acc", "is not allowed"),
    ("mode: all\n      acc", "mode: all\n      shares: ['//*/a', '//*/a']\n      acc",
     "latency.shares: //*/a given twice"),
    ("mode: all\n      acc", "mode: all\n      processes: [5]\n      acc",
     "9: guardian.anomalies.latency.processes[0]: 5 is not allowed (allowed: the name of a "),
    ("mode: all\n      acc", "mode: all\n      processes: ['!a-name-of-16-char']\n      acc",
     "'!a-name-of-16-char' is never met: the kernel keeps 15 characters"),
    ("mode: all\n      acc", "mode: all\n      per: hosts\n      acc",
     "9: guardian.anomalies.latency.per: 'hosts' is not allowed, did you mean 'host'? (allowed: "
     "host, share)"),
    ("cooldown_sec: 60", "cooldown_sec: 4000",
     "24: incidents.max_cooldown_sec: 3600 is less than cooldown_sec (allowed: 4000 up)"),
    ("enabled: true", "enabled: yes", "27: audit.enabled: 'yes' is not allowed"),
    ("/tmp/aod-none", "tmp/aod", "2: aod_output_dir: 'tmp/aod' is not allowed (allowed: an abs"),
    ("/tmp/aod-none", "/var/../etc", "2: aod_output_dir: '/var/../etc' is not allowed"),
    ("/tmp/aod-none", "/etc/hostname", "2: aod_output_dir: /etc/hostname exists and is not"),
    ("/tmp/aod-none", "/etc/hostname/a", "2: aod_output_dir: cannot "),
]  # fmt: skip


@pytest.mark.parametrize(("right", "wrong", "told"), WRONG)
def test_one_mistake_is_one_problem(write: Write, right: str, wrong: str, told: str) -> None:
    assert right in TEXT
    path = write(TEXT.replace(right, wrong, 1))

    found = problems_of(path)

    assert len(found) == 1
    assert found[0].startswith("c.yaml:")
    assert told in found[0]


UNREADABLE = [
    ("", "c.yaml: is empty"),
    ("# nothing\n", "c.yaml: is empty"),
    ("- a\n", "c.yaml:1: must consist of"),
    ("text\n", "c.yaml:1: must consist of"),
    ("a: 1\nb: [1\n", "c.yaml:"),
    ("a: 1\n\tb: 2\n", "c.yaml:2: YAML syntax: while scanning for the next token, found "
     "character '\\t' that cannot start any token (indent by spaces, not tabs)"),
    ("a: 1\n---\nb: 1\n", "c.yaml:2: YAML syntax: expected a single document"),
    ("a: 1\nb: \x01\n", "c.yaml:2: YAML syntax: special characters"),
    ("a: *b\n", "c.yaml:1: YAML syntax: found undefined alias"),
    ("a: &a [*a]\n", "c.yaml:1: too many or too deeply nested"),
    ("[" * 5000, "c.yaml: YAML syntax: nested too deeply"),
    ("# " + "a" * (1 << 20), "c.yaml: is larger than 262144 bytes"),
    ("a0: &a0 [1]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 15)
    ), "too many or too deeply nested"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), UNREADABLE)
def test_text_that_is_no_mapping_is_told_alone(write: Write, text: str, told: str) -> None:
    found = problems_of(write(text))

    assert len(found) == 1
    assert found[0].startswith(told) or told in found[0]


def test_bytes_that_are_not_utf8_are_told_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"a: 1\nb: \xff\n")

    assert problems_of(path) == ["c.yaml:2: not UTF-8 (save the file as UTF-8)"]


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    assert problems_of(tmp_path / "none") == [
        "cannot read none: No such file or directory (name one by --config)"
    ]


def test_a_directory_is_not_read(tmp_path: Path) -> None:
    assert "not a regular file" in problems_of(tmp_path)[0]


def test_an_unreadable_file_is_told(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:  # root may read everything, so that a mode proves nothing
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("aod.config.yamlsource.os.open", refuse)

    assert problems_of(write(TEXT)) == [
        "cannot read c.yaml: permission denied (run as root, or name one by --config)"
    ]


def test_all_problems_are_told_at_once(write: Write) -> None:
    text = TEXT.replace("watch_interval_sec: 1", "watch_interval_sec: 0")
    text = text.replace("actions: [dmesg]", "actions: [mounts]").replace(
        "/tmp/aod-none", "/etc/hostname/a"
    )
    text = text.replace("enabled: true", "enabled: 1").replace("FLUSH", "FLASH")

    found = problems_of(write(text), {"AOD_CLEANUP__MAX_LOG_AGE_DAYS": "x"})

    keys = {problem.split(": ")[1] for problem in found}
    assert keys == {
        "watch_interval_sec", "guardian.anomalies.latency.exclude_commands[0]", "audit.enabled",
        "guardian.anomalies.error.actions", "cleanup.max_log_age_days", "aod_output_dir",
    }  # fmt: skip


def test_a_config_without_anomalies_is_refused(write: Write) -> None:
    text = re.sub(r"  anomalies:.*?(?=watcher:)", "  anomalies: {}\n", TEXT, flags=re.DOTALL)

    assert "4: guardian.anomalies: {} is not allowed" in problems_of(write(text))[0]


def test_seeds_example_with_its_missing_actions_loads() -> None:
    config = load_with_sources(SEED, {}, LOCAL).config

    latency, error = (config.guardian.anomalies[name] for name in ("latency", "error"))
    assert isinstance(latency, LatencyAnomaly)
    assert isinstance(error, ErrorAnomaly)
    assert latency.thresholds_ns()[Command.SMB2_WRITE] == 50_000_000
    assert error.mode == "trackonly"
    assert config.cleanup.max_total_log_size_mb == 0.5


def test_seeds_own_example_is_told_its_three_missing_actions(write: Write) -> None:
    before, after = SEED.read_text().split("watcher:")

    found = problems_of(
        write(before + "watcher:" + re.sub(r"    - (mounts|smbinfo|syslogs)\n", "", after))
    )

    assert [problem.split(": ", 2)[2][:49] for problem in found] == [
        "mounts, smbinfo, syslogs not in watcher.actions ("
    ]


VARIABLES = [
    ("AOD_GUARDIAN__ANOMALIES__LATENCY__DEFAULT_THRESHOLD_MS", "50",
     "guardian.anomalies.latency.default_threshold_ms", 50),
    ("AOD_OUTPUT_DIR", "/tmp/other", "aod_output_dir", "/tmp/other"),
    ("AOD_WATCH_INTERVAL_SEC", "0.5", "watch_interval_sec", 0.5),
    ("AOD_AUDIT__ENABLED", "false", "audit.enabled", False),
    ("AOD_AUDIT", '{"enabled": false}', "audit.enabled", False),
    ("AOD_WATCHER__ACTIONS", '["stats", "dmesg"]', "watcher.actions", ["stats", "dmesg"]),
    ("AOD_GUARDIAN__ANOMALIES__ERROR__MODE", "all", "guardian.anomalies.error.mode", "all"),
]  # fmt: skip


@pytest.mark.parametrize(("variable", "text", "key", "value"), VARIABLES)
def test_a_variable_overrides_its_key(
    write: Write, variable: str, text: str, key: str, value: object
) -> None:
    loaded = load_with_sources(write(TEXT), {variable: text, "AOD_LOG_LEVEL": "DEBUG"}, LOCAL)

    leaves = {".".join(map(str, path)): (found, source) for path, found, source in loaded.leaves()}
    assert leaves[key] == (value, variable)


WRONG_VARIABLES = [
    ({"AOD_WATCH_INTERVAL_SECS": "1"},
     "AOD_WATCH_INTERVAL_SECS: unknown variable, did you mean 'AOD_WATCH_INTERVAL_SEC'?"),
    ({"AOD_OUTPUT_DIRS": "/a"}, "AOD_OUTPUT_DIRS: unknown variable, did you mean 'AOD_OUTPUT_DIR'"),
    ({"AOD_LOGLEVEL": "INFO"}, "AOD_LOGLEVEL: unknown variable, did you mean 'AOD_LOG_LEVEL'?"),
    ({"AOD_AOD_OUTPUT_DIR": "/a"}, "AOD_AOD_OUTPUT_DIR: unknown variable, did you mean 'AOD_OUT"),
    ({"AOD_audit__enabled": "true"}, "AOD_audit__enabled: unknown variable, did you mean 'AOD_AU"),
    ({"AOD_REQUIRE_VM": "1"}, "AOD_REQUIRE_VM: unknown variable"),
    ({"AOD_": "1"}, "AOD_: unknown variable"),
    ({"AOD_AUDIT__ENABLE": "1"}, "AOD_AUDIT__ENABLE: unknown variable, did you mean 'AOD_AUDIT__E"),
    ({"AOD_AUDIT__ENABLED": "maybe"}, "AOD_AUDIT__ENABLED: audit.enabled: 'maybe' is not allowed"),
    ({"AOD_WATCH_INTERVAL_SEC": "NaN"}, "AOD_WATCH_INTERVAL_SEC: watch_interval_sec: nan is not"),
    ({"AOD_WATCH_INTERVAL_SEC": ""}, "AOD_WATCH_INTERVAL_SEC: watch_interval_sec: '' is not"),
    ({"AOD_WATCH_INTERVAL_SEC": "1", "AOD_WATCH_INTERVAL_SEC__X": "1"},
     "AOD_WATCH_INTERVAL_SEC__X: contradicts the variable for WATCH_INTERVAL_SEC"),
    ({"AOD_WATCHER__ACTIONS": "[dmesg"}, "AOD_WATCHER__ACTIONS: watcher.actions: '[dmesg' is not"),
    ({"AOD_WATCHER__ACTIONS": "[" * 100_000}, "AOD_WATCHER__ACTIONS: watcher.actions: '[[["),
    ({"AOD_GUARDIAN__ANOMALIES__NEW__MODE": "all"},
     "AOD_GUARDIAN__ANOMALIES__NEW__MODE: guardian.anomalies.new.type: is missing"),
    ({"AOD_OUTPUT_DIR": "/etc/hostname/a"}, "AOD_OUTPUT_DIR: aod_output_dir: cannot "),
]  # fmt: skip


@pytest.mark.parametrize(("environ", "told"), WRONG_VARIABLES)
def test_a_wrong_variable_is_named(write: Write, environ: dict[str, str], told: str) -> None:
    found = problems_of(write(TEXT), environ)

    assert [problem[: len(told)] for problem in found] == [told]


def test_variables_of_others_are_ignored(write: Write) -> None:
    config = load_with_sources(write(TEXT), {"AUDIT": "x", "aod_audit": "x", "HOME": "/"}, LOCAL)

    assert config.config == load_with_sources(write(TEXT), {}, LOCAL).config


def test_the_process_environment_is_read_only_when_handed_over(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCH_INTERVAL_SEC", "7")
    monkeypatch.setenv("AOD_WATCH_INTERVAL_SEC", "7")

    assert load(write(TEXT), {}).watch_interval_sec == 1


def test_leaves_tell_line_variable_and_default(write: Write) -> None:
    path = write(TEXT)
    environ = {"AOD_CLEANUP__MAX_LOG_AGE_DAYS": "3"}

    leaves = {key: source for key, _, source in load_with_sources(path, environ, LOCAL).leaves()}

    assert leaves["watch_interval_sec",] == f"{path}:1"
    assert leaves["cleanup", "max_log_age_days"] == "AOD_CLEANUP__MAX_LOG_AGE_DAYS"
    assert leaves["cleanup", "cleanup_interval_sec"] == "default"
    assert (
        leaves["guardian", "anomalies", "latency", "track_commands", 0, "threshold"] == f"{path}:13"
    )


def latency(**values: Any) -> LatencyAnomaly:
    return LatencyAnomaly.model_validate({"type": "Latency", "actions": [], **values})


def error(**values: Any) -> ErrorAnomaly:
    return ErrorAnomaly.model_validate({"type": "Error", "actions": [], **values})


WRITE_AT_50 = [{"command": "SMB2_WRITE", "threshold": 50}]
MODES = [
    ("all", WRITE_AT_50, ["SMB2_READ"], (50_000_000, None, 200_000_000)),
    ("all", [{"command": "SMB2_WRITE", "threshold": 0}], [], (0, 200_000_000, 200_000_000)),
    ("trackonly", WRITE_AT_50, [], (50_000_000, None, None)),
    ("trackonly", [{"command": "SMB2_WRITE"}], [], (200_000_000, None, None)),
    ("excludeonly", [], ["SMB2_READ"], (200_000_000, None, 200_000_000)),
    ("excludeonly", WRITE_AT_50, [], (None, 200_000_000, 200_000_000)),
]


@pytest.mark.parametrize(("mode", "track", "exclude", "expected_ns"), MODES)
def test_thresholds_follow_the_mode(
    mode: str, track: list[Any], exclude: list[str], expected_ns: tuple[int | None, ...]
) -> None:
    anomaly = latency(mode=mode, track_commands=track, exclude_commands=exclude)

    thresholds_ns = anomaly.thresholds_ns()

    commands = (Command.SMB2_WRITE, Command.SMB2_READ, Command.SMB2_CLOSE)
    assert tuple(thresholds_ns[command] for command in commands) == expected_ns
    assert set(thresholds_ns) == set(Command)


def test_a_command_excluded_in_seeds_reading_is_not_tracked_by_name() -> None:
    assert latency(mode="all", track_commands=WRITE_AT_50).tracked_by_name == {Command.SMB2_WRITE}
    assert latency(mode="excludeonly", track_commands=WRITE_AT_50).tracked_by_name == frozenset()


def test_codes_are_errnos_or_statuses() -> None:
    anomaly = error(track_codes=["EACCES", "STATUS_DISK_FULL"], exclude_codes=["ENOENT"])

    assert anomaly.tracked_errors == {13}
    assert anomaly.tracked_statuses == {0xC000007F}
    assert anomaly.excluded_errors == {2}
    assert anomaly.excluded_statuses == frozenset()


def test_tracked_codes_in_excludeonly_are_the_excluded_ones() -> None:
    anomaly = error(mode="excludeonly", track_codes=["EACCES", "STATUS_DISK_FULL"])

    assert anomaly.tracked_errors | anomaly.tracked_statuses == set()
    assert anomaly.excluded_errors == {13}
    assert anomaly.excluded_statuses == {0xC000007F}


def test_an_anomaly_without_a_cooldown_has_that_of_all_incidents(write: Write) -> None:
    text = TEXT.replace("type: Error", "type: Error\n      cooldown_sec: 5")
    config = load(write(text), {})

    assert (config.cooldown_sec("error"), config.cooldown_sec("latency")) == (5, 60)


def test_the_fingerprint_follows_the_values_not_their_form(write: Write) -> None:
    first = load(write(TEXT), {}).fingerprint()

    assert load(write(TEXT.replace("sec: 60", "sec: 60.0  # same")), {}).fingerprint() == first
    assert load(write(TEXT.replace("sec: 60", "sec: 61")), {}).fingerprint() != first
    assert re.fullmatch("[0-9a-f]{64}", first)


def test_a_total_below_two_bundles_is_a_warning(write: Write) -> None:
    enough = "cleanup: {max_total_log_size_mb: 64}\n"  # 2 bundles x 2 actions x 16 MiB
    path = write(TEXT + enough.replace("64", "63.9"))

    warnings = load_with_sources(path, {}, LOCAL).warnings()

    assert [
        w.startswith(f"{path}:28: cleanup.max_total_log_size_mb: is less") for w in warnings
    ] == [True]
    assert load_with_sources(write(TEXT + enough), {}, LOCAL).warnings() == []


def test_an_output_directory_on_a_share_is_an_error(write: Write) -> None:
    path = write(TEXT.replace("/tmp/aod-none", "/mnt/a b/aod"))

    with pytest.raises(ConfigError) as caught:
        load_with_sources(path, {}, SHARE)

    assert "2: aod_output_dir: /mnt/a b/aod lies on the cifs mount /mnt/a b" in str(caught.value)


def test_a_config_can_be_checked_against_later_mounts(write: Write) -> None:
    config = load(write(TEXT), {})

    assert check_output_dir(config, LOCAL) == []
    assert check_output_dir(config, LOCAL + parse("9 22 0:9 / /tmp rw - smb3 //n/s rw\n")) != []


def test_loading_creates_no_directory(write: Write, tmp_path: Path) -> None:
    load(write(TEXT.replace("/tmp/aod-none", f"{tmp_path}/out")), {})

    assert not (tmp_path / "out").exists()


def test_the_shipped_file_loads_without_a_warning() -> None:
    loaded = load_with_sources(SHIPPED, {}, LOCAL)

    # The checkout may be that of any user, with any umask.
    assert set(loaded.warnings()) <= {loaded.origins.document.exposed}
    assert set(loaded.config.guardian.anomalies) == {
        "latency",
        "error",
        "inflight",
        "reconnect",
    }


def test_the_shipped_values_are_the_defaults() -> None:
    shipped = load_with_sources(SHIPPED, {}, LOCAL).config

    assert list(differences(shipped)) == []


def differences(section: BaseModel) -> Iterator[str]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from differences(value)
        elif isinstance(value, dict):
            for entry in value.values():
                yield from differences(entry)
        elif not field.is_required() and value != field.default:
            yield name


def fields_of(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        yield name, field
        for part in models_in(field.annotation):
            yield from fields_of(part)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from models_in(argument)


@pytest.mark.parametrize("name", sorted({name for name, _ in fields_of(Config)}))
def test_every_key_stands_in_the_shipped_file_below_a_comment(name: str) -> None:
    lines = SHIPPED.read_text().splitlines()

    places = [n for n, line in enumerate(lines) if re.match(rf"[ #-]*{name}:( |$)", line)]

    assert any("#" in "".join(lines[max(0, place - 4) : place + 1]) for place in places)


def test_every_key_has_a_description() -> None:
    assert [name for name, field in fields_of(Config) if not field.description] == []


KEYS = sorted({name for name, _ in fields_of(Config)} | {"latency", "error"})
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from([*KEYS, "Latency", "Error", "Inflight", "all", "dmesg", "SMB2_READ", "EIO"])
    | st.just(10**400)
)  # fmt: skip
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=12,
)
PLACES: list[tuple[str, ...]] = [
    (), ("watcher",), ("guardian",), ("guardian", "anomalies"), ("cleanup",), ("audit",),
    ("guardian", "anomalies", "latency"), ("guardian", "anomalies", "error"), ("incidents",),
]  # fmt: skip


@given(place=st.sampled_from(PLACES), key=st.sampled_from(KEYS) | st.text(), tree=TREES)
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_tree_gives_a_config_or_a_config_error(
    write: Write, place: tuple[str, ...], key: str, tree: Any
) -> None:
    values: Any = load(write(TEXT), {}).plain()
    section = values
    for part in place:
        section = section[part]
    section[key] = tree
    path = write(json.dumps(values).replace("NaN", ".nan").replace("Infinity", ".inf"))

    try:
        outcome: object = load_with_sources(path, {}, LOCAL).config
    except ConfigError as error:
        outcome = error

    assert isinstance(outcome, Config) or str(outcome).startswith(str(path))


@given(values=st.dictionaries(st.sampled_from(KEYS), TREES), text=st.text())
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_environment_gives_a_config_or_a_config_error(
    write: Write, values: dict[str, Any], text: str
) -> None:
    environ = {f"AOD_{key.upper()}": json.dumps(value) for key, value in values.items()}
    environ["AOD_WATCHER__" + text.upper()] = text
    path = write(TEXT)

    with pytest.raises(ConfigError) as caught:
        load_with_sources(path, environ, LOCAL)

    assert "AOD_WATCHER__" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("listen: localhost:9455", "'localhost:9455' is not allowed (allowed: an IP address and"),
        ('listen: "::1:9455"', "is not allowed"),
        ('listen: "[127.0.0.1]:9455"', "is not allowed"),
        ("listen: 127.0.0.1", "is not allowed"),
        ("listen: 127.0.0.1:0", "is not allowed"),
        ("listen: 127.0.0.1:65536", "is not allowed"),
        ("listen: 9455", "9455 is not allowed"),
        ("textfile: aod.prom", "'aod.prom' is not allowed (allowed: an absolute path"),
        ("textfile: /var/lib/aod.txt", "whose name ends in .prom"),
        ("textfile: /var/../aod.prom", "is not allowed"),
        ("textfile: /mnt/a b/aod.prom", "lies on the cifs mount /mnt/a b: aod touches no share"),
    ],
)
def test_metrics_that_cannot_be_had_are_refused(write: Write, line: str, what: str) -> None:
    path = write(TEXT + f"metrics:\n  {line}\n")

    with pytest.raises(ConfigError) as caught:
        load_with_sources(path, {}, SHARE)

    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}:29: metrics.{line.partition(':')[0]}: ")
    assert what in problem


def test_metrics_for_other_machines_and_without_a_directory_are_warned_of(
    write: Write, tmp_path: Path
) -> None:
    missing = tmp_path / "missing"
    text = f'metrics: {{listen: "[::]:9455", textfile: {missing}/aod.prom}}\n'

    warnings = load_with_sources(write(TEXT + text), {}, LOCAL).warnings()

    assert "metrics.listen: [::]:9455 can be reached from other machines" in warnings[0]
    assert f"metrics.textfile: there is no directory {missing}" in warnings[1]


@pytest.mark.parametrize("address", ["127.0.0.1:9455", "[::1]:9455"])
def test_metrics_on_a_loopback_address_are_no_matter(write: Write, address: str) -> None:
    path = write(TEXT + "cleanup: {max_total_log_size_mb: 2048}\n")

    loaded = load_with_sources(path, {"AOD_METRICS__LISTEN": address}, LOCAL)

    assert (loaded.config.metrics.listen, loaded.warnings()) == (address, [])


def test_metrics_without_their_package_are_refused_with_what_to_install(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    path = write(TEXT + "metrics: {listen: 127.0.0.1:9455}\n")

    with pytest.raises(ConfigError, match=r"metrics\.listen: .*pip install prometheus-client"):
        load_with_sources(path, {}, LOCAL)


def test_installed_actions_are_looked_up_once_however_many_names_there_are(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def installed(group: str) -> EntryPoints:
        asked.append(group)
        return EntryPoints([])

    monkeypatch.setattr("importlib.metadata.entry_points", installed)
    many = ", ".join(f"unknown{index}" for index in range(2000))

    with pytest.raises(ConfigError):
        load_with_sources(write(TEXT.replace("actions: [dmesg", f"actions: [{many}", 1)), {}, LOCAL)

    assert len(asked) == 1


def test_many_wrong_names_take_no_longer_than_a_hundred_guesses(write: Write) -> None:
    many = ", ".join(f"EACCES{index}" for index in range(2000))
    path = write(TEXT.replace("type: Error", f"type: Error\n      track_codes: [{many}]"))

    started_s = time.process_time()
    with pytest.raises(ConfigError) as caught:
        load_with_sources(path, {}, LOCAL)

    guessed = [problem for problem in caught.value.problems if "did you mean 'EACCES'" in problem]
    assert len(guessed) == MAX_GUESSES
    assert time.process_time() - started_s < 5


@pytest.mark.parametrize("text", ["[" * 4000, "{a: " * 4000, "[ {" * 200])
def test_brackets_without_end_are_refused_at_once(write: Write, text: str) -> None:
    started_s = time.process_time()

    with pytest.raises(ConfigError, match="nested too deeply"):
        load_with_sources(write(f"guardian: {text}"), {}, LOCAL)

    assert time.process_time() - started_s < 0.5


def test_a_path_of_many_parts_is_refused(write: Write) -> None:
    with pytest.raises(ConfigError, match=r"^AOD_OUTPUT_DIR: aod_output_dir: .* an absolute path"):
        load_with_sources(write(TEXT), {"AOD_OUTPUT_DIR": "/a" * 2000}, LOCAL)
