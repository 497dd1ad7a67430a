"""From a config to a service that runs, and to its end."""

import asyncio

from aod.bundle import OutputDirectory
from aod.config import Config
from aod.errors import ConfigError, HostError
from aod.service.reload import Load
from aod.service.service import Service
from aod.service.signals import Signals
from aod.service.warmup import open_state, warm_up


async def serve(config: Config, signals: Signals, load: Load) -> None:
    """Run the service until it is asked to stop; it watches whenever cifs is there.

    `load` reads the config anew. Raises AodError for what the user can mend, and the failure
    of a component that could not be kept running.
    """
    try:
        output = await asyncio.to_thread(OutputDirectory.open, config.aod_output_dir)
    except HostError as error:
        raise ConfigError([f"aod_output_dir: {error}"]) from error
    with output:
        output.lock()
        await asyncio.to_thread(warm_up, config)
        state = await asyncio.to_thread(open_state)
        service = Service(config, output, signals, load, state)
        await asyncio.to_thread(service.leftovers.recover)
        await service.run()
