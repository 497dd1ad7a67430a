"""Names for the ids that events carry: server, channel, share, file, unit or pod."""

from aod.host.cgroups import unit_of
from aod.names.debugdata import Connections, parse_debug_data
from aod.names.names import Names
from aod.names.openfiles import parse_open_files
from aod.names.upkeep import Upkeep

__all__ = ["Connections", "Names", "Upkeep", "parse_debug_data", "parse_open_files", "unit_of"]
