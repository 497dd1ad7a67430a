"""The text is read back by the parsers of prometheus-client, which we did not write."""

import re
import threading
from collections.abc import Callable

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from aod.errors import HostError
from aod.metrics import collector
from aod.metrics.collector import Exposition
from aod.metrics.reading import Reading
from tests.metrics.conftest import reading
from tests.test_documents import rows

Make = Callable[..., Exposition]
MEDIA = {"server": "nas01", "share": 'q"uote'}


def families(exposition: Exposition) -> dict[str, Metric]:
    text, _ = exposition.render()
    return {family.name: family for family in parse(text.decode())}


def value(families: dict[str, Metric], name: str, **labels: str) -> float:
    """Return the value of the one sample that has just this name and these labels."""
    (found,) = [
        sample.value
        for family in families.values()
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]
    return found


def test_the_histogram_has_the_kernels_buckets_in_seconds(make_exposition: Make) -> None:
    found = families(make_exposition())

    name, read = "aod_smb_operation_duration_seconds", MEDIA | {"command": "SMB2_READ"}
    assert value(found, f"{name}_bucket", le="0.001024", **read) == 0
    assert value(found, f"{name}_bucket", le="0.002048", **read) == 4
    assert value(found, f"{name}_bucket", le="+Inf", **read) == 4
    assert value(found, f"{name}_count", **read) == 4
    assert value(found, f"{name}_sum", **read) == 0.006


def test_what_took_longest_is_in_the_last_bucket_alone(make_exposition: Make) -> None:
    found = families(make_exposition())

    name, write = "aod_smb_operation_duration_seconds_bucket", MEDIA | {"command": "SMB2_WRITE"}
    assert value(found, name, le="134.217728", **write) == 0
    assert value(found, name, le="+Inf", **write) == 1


def test_operations_are_told_by_server_share_and_command(make_exposition: Make) -> None:
    found = families(make_exposition())

    assert value(found, "aod_smb_operation_errors_total", command="SMB2_READ", **MEDIA) == 1
    assert value(found, "aod_smb_payload_bytes_total", command="SMB2_WRITE", **MEDIA) == 512
    assert value(found, "aod_smb_open_requests", command="SMB2_WRITE", **MEDIA) == 2
    echo = {"server": "nas01", "share": "", "command": "SMB2_ECHO"}
    assert value(found, "aod_smb_operation_duration_seconds_count", **echo) == 3


def test_only_commands_with_a_payload_count_bytes(make_exposition: Make) -> None:
    family = families(make_exposition())["aod_smb_payload_bytes"]

    assert {s.labels["command"] for s in family.samples} == {"SMB2_READ", "SMB2_WRITE"}


def test_what_aod_did_and_lost_is_told(make_exposition: Make) -> None:
    found = families(make_exposition())

    assert value(found, "aod_incidents_total", anomaly="latency") == 2
    assert value(found, "aod_bundles_total", outcome="sealed") == 1
    assert value(found, "aod_bundles_deleted_total") == 3
    assert value(found, "aod_component_restarts_total", component="names") == 1
    assert value(found, "aod_lost_total", what="events") == 7
    assert value(found, "aod_lost_total", what="probe runs") == 5
    assert value(found, "aod_smb_requests_ended_total", outcome="aborted") == 1
    assert value(found, "aod_smb_responses_total", kind="interim") == 1
    assert value(found, "aod_last_bundle_timestamp_seconds") == pytest.approx(1795351502.363074)
    assert value(found, "aod_tracer_rung") == 1
    assert value(found, "aod_tracer_probes") == 19
    assert value(found, "aod_build_info", aod="0.1.0", python="3.11.2", libbpf="1.1") == 1
    assert value(found, "process_cpu_seconds_total") > 0
    assert value(found, "process_resident_memory_bytes") > 1 << 20


def test_an_anomaly_counts_from_0_before_its_first_incident(make_exposition: Make) -> None:
    found = families(make_exposition())

    assert value(found, "aod_incidents_total", anomaly="error") == 0
    assert value(found, "aod_bundles_total", outcome="not sealed") == 0


def test_no_series_is_there_twice(make_exposition: Make) -> None:
    found = families(make_exposition())

    series = [
        (sample.name, *sorted(sample.labels.items()))
        for family in found.values()
        for sample in family.samples
    ]
    assert len(series) == len(set(series)) > 100


def test_openmetrics_is_given_to_whom_asks_for_it(make_exposition: Make) -> None:
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.1"

    text, content_type = make_exposition().render(accept)

    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    parsed = parse_openmetrics(text.decode())  # type: ignore[no-untyped-call] # theirs
    names = {family.name for family in parsed}
    assert {"aod_smb_operation_duration_seconds", "aod_lost", "aod_build"} <= names


def test_names_follow_the_conventions_of_prometheus(make_exposition: Make) -> None:
    own = [f for f in families(make_exposition()).values() if f.name.startswith("aod_")]

    assert {family.type for family in own} == {"counter", "gauge", "histogram"}
    for family in own:
        assert family.documentation.endswith(".")
        ends_in_total = {sample.name.endswith("_total") for sample in family.samples}
        assert ends_in_total == {family.type == "counter"}


def test_every_metric_stands_in_usage_with_its_type_and_labels(make_exposition: Make) -> None:
    own = [f for f in families(make_exposition()).values() if f.name.startswith("aod_")]

    told = rows("Metrics for Prometheus")

    assert {
        name: (kind, set(re.findall(r"\w+", labels))) for name, (kind, labels, _) in told.items()
    } == {
        f"{family.name}_total" if family.type == "counter" else family.name: (
            family.type,
            set(family.samples[0].labels) - {"le"} or {"none"},
        )
        for family in own
    }


def test_counters_never_fall_from_one_reading_to_the_next(make_exposition: Make) -> None:
    exposition = make_exposition()

    def counters() -> dict[object, float]:
        counting = [f for f in families(exposition).values() if f.type in ("counter", "histogram")]
        return {(s.name, *sorted(s.labels.items())): s.value for f in counting for s in f.samples}

    before, after = counters(), counters()

    assert {name for name in before if after[name] < before[name]} == set()


def test_a_reading_that_takes_too_long_keeps_no_other_waiting(
    make_exposition: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "WAIT_S", 0.01)
    begun, end = threading.Event(), threading.Event()

    def read() -> Reading:
        begun.set()
        end.wait(10)
        return reading()

    exposition = make_exposition(read)
    stuck = threading.Thread(target=exposition.render)
    stuck.start()
    begun.wait(10)

    with pytest.raises(HostError, match="still being read"):
        exposition.render()
    end.set()
    stuck.join()
    assert exposition.render()[0]
