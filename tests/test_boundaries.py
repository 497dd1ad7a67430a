"""What one incident does wrong by a bug costs that incident, and nothing else."""

from collections.abc import Callable
from typing import Any

from aod.bundle import OutputDirectory
from aod.detectors.anomaly import Anomaly
from aod.incidents.evidence import Evidence
from aod.incidents.incidents import Incidents, make_cooldowns
from aod.incidents.waiters import BundleWaiters
from aod.runtime.counts import ServiceCounts
from aod.runtime.queue import Queue
from tests.children import make_runner
from tests.conftest import Collect, Logged, make_anomaly, make_config, names_in
from tests.evidence import Counting, LookUps, Unheard, make_evidence
from tests.incidents.test_incidents import handle, manifests, spawn

Script = dict[str, Collect]


def incidents_with(
    output: OutputDirectory, evidence: Evidence, service_counts: ServiceCounts
) -> Incidents:
    config = make_config(output.path, incidents={"cooldown_sec": 0, "max_cooldown_sec": 0})
    return Incidents(
        config,
        output,
        make_runner(),
        evidence,
        Unheard(),
        make_cooldowns(config),
        service_counts,
        spawn,
        BundleWaiters(),
    )


def failing(at_call: int) -> Callable[..., Any]:
    """What finds nothing, and has a bug at one of its calls."""
    calls = 0

    def find(*_: object) -> Any:
        nonlocal calls
        calls += 1
        if calls == at_call:
            raise KeyError("bug")
        return {}

    return find


async def test_a_bug_before_the_bundle_is_open_leaves_nothing_and_is_counted(
    output: OutputDirectory, script: Script, logged: Logged
) -> None:
    service_counts = ServiceCounts()
    names = LookUps(look_up=failing(at_call=1))
    incidents = incidents_with(output, make_evidence(names), service_counts)

    await handle(incidents, make_anomaly())
    assert names_in(output.path) == []
    await handle(incidents, make_anomaly())

    (manifest,) = await manifests(output)
    (held,) = manifest["suppressed_since_last"]
    assert held["count"] == 1
    assert service_counts.bundles == {"not opened": 1, "sealed": 1}


async def test_a_bug_at_the_seal_costs_that_bundle_only(
    output: OutputDirectory, script: Script, logged: Logged
) -> None:
    service_counts = ServiceCounts()
    losses = Counting(failing(at_call=2))
    incidents = incidents_with(output, make_evidence(losses=losses), service_counts)

    await handle(incidents, make_anomaly())
    await handle(incidents, make_anomaly("error"))

    assert service_counts.bundles == {"not sealed": 1, "sealed": 1}
    assert output.open_names == set()
    assert logged.count("bundle not sealed") == 1


async def test_an_incident_that_cannot_be_announced_is_collected_all_the_same(
    output: OutputDirectory, script: Script, logged: Logged
) -> None:
    names = LookUps(shares=failing(at_call=1))
    incidents = incidents_with(output, make_evidence(names), ServiceCounts())
    channel = Queue[Anomaly](10)
    channel.send(make_anomaly())
    channel.close()
    try:
        await incidents.run(channel)
    except KeyError:
        await incidents.run(channel)  # as its supervisor does

    await handle(incidents, make_anomaly("error"))

    triggers = {manifest["trigger"] for manifest in await manifests(output)}
    assert triggers == {"latency", "error"}
