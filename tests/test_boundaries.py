"""What one incident does wrong by a bug costs that incident, and nothing else."""

from typing import Any

from aod.bundle import OutputDirectory
from aod.detectors.anomaly import Anomaly
from aod.incidents.incident import Describe, Surroundings
from aod.incidents.incidents import Incidents, make_cooldowns
from aod.incidents.outcomes import Outcomes
from aod.runtime.counts import Tally
from aod.runtime.queue import Channel
from tests.children import make_runner
from tests.conftest import Collect, Told, make_anomaly, make_config, names_in
from tests.incidents.test_incidents import handle, manifests, spawn

Script = dict[str, Collect]


def incidents_that_describe(
    output: OutputDirectory, describe: Describe, tally: Tally, **keys: Any
) -> Incidents:
    config = make_config(output.path, incidents={"cooldown_sec": 0, "max_cooldown_sec": 0})
    surroundings = Surroundings(describe, dict, **keys)
    cooldowns = make_cooldowns(config)
    return Incidents(
        config, output, make_runner(), surroundings, cooldowns, tally, spawn, Outcomes()
    )


def failing(at_call: int) -> Describe:
    """A description that has a bug at one of its calls."""
    calls = 0

    def describe(anomaly: Anomaly, wall_offset_ns: int) -> list[dict[str, Any]]:
        nonlocal calls
        calls += 1
        if calls == at_call:
            raise KeyError("bug")
        return []

    return describe


async def test_a_bug_before_the_bundle_is_open_leaves_nothing_and_is_counted(
    output: OutputDirectory, script: Script, told: Told
) -> None:
    tally = Tally()
    incidents = incidents_that_describe(output, failing(at_call=1), tally)

    await handle(incidents, make_anomaly())
    assert names_in(output.path) == []
    await handle(incidents, make_anomaly())

    (manifest,) = await manifests(output)
    (held,) = manifest["suppressed_since_last"]
    assert held["count"] == 1
    assert tally.bundles == {"not opened": 1, "sealed": 1}


async def test_a_bug_at_the_seal_costs_that_bundle_only(
    output: OutputDirectory, script: Script, told: Told
) -> None:
    tally = Tally()
    incidents = incidents_that_describe(output, failing(at_call=2), tally)

    await handle(incidents, make_anomaly())
    await handle(incidents, make_anomaly("error"))

    assert tally.bundles == {"not sealed": 1, "sealed": 1}
    assert output.open_names == set()
    assert told.count("bundle not sealed") == 1


async def test_an_incident_that_cannot_be_announced_is_collected_all_the_same(
    output: OutputDirectory, script: Script, told: Told
) -> None:
    calls = 0

    def shares(events: object) -> list[str]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise KeyError("bug")
        return []

    incidents = incidents_that_describe(output, lambda *_: [], Tally(), shares=shares)
    channel = Channel[Anomaly](10)
    channel.send(make_anomaly())
    channel.close()
    try:
        await incidents.run(channel)
    except KeyError:
        await incidents.run(channel)  # as its supervisor does

    await handle(incidents, make_anomaly("error"))

    triggers = {manifest["trigger"] for manifest in await manifests(output)}
    assert triggers == {"latency", "error"}
