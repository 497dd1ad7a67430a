"""How a command talks to the running service: the socket, its protocol, typed answers."""

from aod.control.client import Client, find
from aod.control.protocol import Options
from aod.control.server import Control, Route

__all__ = ["Client", "Control", "Options", "Route", "find"]
