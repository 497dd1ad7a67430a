"""What those hear who wait for an anomaly's bundle."""

import pytest

from aod.bundle import OutputDirectory
from aod.errors import BundleError
from tests.conftest import Collect, make_anomaly, make_config, names_in
from tests.events import SECOND
from tests.incidents.test_incidents import handle, make_incidents

Script = dict[str, Collect]


async def test_all_who_asked_for_it_get_the_name_of_their_bundle(
    output: OutputDirectory, script: Script
) -> None:
    incidents = make_incidents(make_config(output.path), output)
    asked = [make_anomaly("manual", at_ns) for at_ns in (SECOND, 2 * SECOND)]
    outcomes = [incidents.waiters.expect(anomaly) for anomaly in asked]

    await handle(incidents, *asked)

    names = {await outcome for outcome in outcomes}
    assert names == set(names_in(output.path))


async def test_who_asked_in_vain_is_told_why(output: OutputDirectory, script: Script) -> None:
    incidents = make_incidents(make_config(output.path), output)
    first, held_back = make_anomaly(), make_anomaly(at_ns=2 * SECOND)
    await handle(incidents, first)
    outcome = incidents.waiters.expect(held_back)

    await handle(incidents, held_back)

    with pytest.raises(BundleError, match="no incident was opened"):
        await outcome
