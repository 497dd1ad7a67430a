"""Names for the ids that events carry: server, channel, share, file, unit or pod."""

from aod.host.cgroups import unit_of
from aod.smb.debugdata import Connections, parse_debug_data
from aod.smb.names import Names
from aod.smb.openfiles import parse_open_files
from aod.smb.upkeep import Upkeep

__all__ = ["Connections", "Names", "Upkeep", "parse_debug_data", "parse_open_files", "unit_of"]
