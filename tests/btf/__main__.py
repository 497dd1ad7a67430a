"""Make the small BTF of a kernel: python3 -m tests.btf SUITE|FOLDER."""

import argparse
import logging
import sys
import tempfile
from pathlib import Path

from tests import ROOT
from tests.btf import types
from tests.btf.reduce import reduced
from tests.btf.source import Source, from_folder, from_suite
from tests.vm.lab.cache import Cache, default_root
from tests.vm.lab.errors import LabError

TESTED = ROOT / "tests/data/btf"
SHIPPED = ROOT / "aod/data/btf"
"""For kernels that have no types of cifs themselves (aod/tracer/btf.py)."""


def main() -> int:
    """Make one file and say where it is."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.btf", description=__doc__)
    parser.add_argument(
        "kernel",
        help="a Debian suite, as the lab names it; or a folder: an unpacked kernel package, or a "
        "machine's /sys/kernel/btf, copied to a folder that is named for its `uname -r`",
    )
    name = parser.parse_args().kernel
    logging.basicConfig(level=logging.INFO, format="btf: %(message)s", stream=sys.stderr)
    try:
        is_folder = "/" in name
        source = from_folder(Path(name)) if is_folder else from_suite(Cache(default_root()), name)
        file = make(source)
    except (LabError, OSError) as error:
        print(f"btf: {error}", file=sys.stderr)
        return 1
    print(f"{file.relative_to(ROOT)}: {file.stat().st_size} bytes")
    return 0


def make(source: Source) -> Path:
    """Write the small BTF to where the contract test finds it, and return the file."""
    folder = TESTED if source.is_in_kernel else SHIPPED
    folder.mkdir(exist_ok=True)
    file = folder / f"{source.release}.btf"
    with tempfile.TemporaryDirectory() as place:
        whole = Path(place, "whole.btf")
        whole.write_bytes(source.btf)
        types.write(reduced(whole), file)
    return file


if __name__ == "__main__":
    sys.exit(main())
