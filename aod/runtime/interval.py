"""How long components rest between two looks at what they watch."""

import asyncio


class Interval:
    """A time in seconds that several components share, and that a reload changes."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def rest(self) -> None:
        """Wait for one interval."""
        await asyncio.sleep(self.seconds)
