"""Files of /proc as the kernel writes them."""

from pathlib import Path

SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


def put_proc_status(path: Path, permitted: int) -> None:
    """Write the status of a process that has such capabilities, held back."""
    lines = [f"{name}:\t{permitted if name == 'CapPrm' else 0:016x}" for name in SETS]
    path.write_text("\n".join(["Name:\taod", *lines, ""]))
