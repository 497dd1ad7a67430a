"""Talking to the running service over a socket: what listens, and what asks."""

from aod.control.client import Client, find
from aod.control.protocol import Options
from aod.control.server import Control, Route

__all__ = ["Client", "Control", "Options", "Route", "find"]
