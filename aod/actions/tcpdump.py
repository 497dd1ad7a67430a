"""Keeps the packets of the SMB port from the anomaly on."""

from aod.actions.action import Context, Result
from aod.actions.output import Output
from aod.actions.program import run
from aod.host.capabilities import Capability
from aod.processes.command import Command


class Tcpdump:
    """Captures for `post_trigger_s`: headers, and the first `snaplen` bytes of each packet.

    It writes to our pipe and keeps the name `.pcap`: Debian's and Ubuntu's AppArmor profile of
    tcpdump allows no other. `-Z root` keeps it from changing to a user who may not write there.
    """

    name = "tcpdump"
    file_name = "tcpdump.pcap"
    keeps_packets = True
    program = "tcpdump"
    # It opens a packet socket; -Z root sets its groups again, and where it is built with
    # libcap-ng its user, though to the same.
    capabilities = (Capability.NET_RAW, Capability.SETGID, Capability.SETUID)

    def __init__(self, program: str = program) -> None:
        self._program = program

    async def collect(self, context: Context, output: Output) -> Result:
        """Capture; SIGTERM after `post_trigger_s` is its normal end."""
        options = (
            "-i",
            "any",
            "-nn",
            "-U",
            "-Z",
            "root",
            "-s",
            str(context.span.snaplen),
            "-w",
            "-",
        )
        arguments = (*options, "tcp", "port", "445")
        command = Command(
            self._program,
            arguments,
            run_for_s=context.span.post_trigger_s,
            capabilities=self.capabilities,
        )
        return await run(command, context, output)
