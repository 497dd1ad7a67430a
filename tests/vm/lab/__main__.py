"""Use the lab by hand: python3 -m tests.vm.lab build|shell|run COMMAND|clean."""

import argparse
import logging
import sys
import tempfile
from pathlib import Path

from tests.vm.lab import host
from tests.vm.lab.cache import Cache, default_root
from tests.vm.lab.errors import LabError
from tests.vm.lab.lab import DEFAULT_SUITE, Lab, prepare
from tests.vm.lab.system import PLAIN, SYSTEMD
from tests.vm.lab.terminal import shell

SYSTEMS = {"plain": PLAIN, "systemd": SYSTEMD}


def main() -> int:
    """Run one command of the lab and return its exit code."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="lab: %(message)s", stream=sys.stderr)
    cache = Cache(default_root())
    if arguments.action == "clean":
        cache.clean()
        return 0
    if reason := host.missing():
        print(f"lab: {reason}", file=sys.stderr)
        return 1
    try:
        return _act(prepare(cache, arguments.suite, SYSTEMS[arguments.system]), arguments)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1


def _act(lab: Lab, arguments: argparse.Namespace) -> int:
    if arguments.action == "build":
        return 0
    with tempfile.TemporaryDirectory() as empty:
        directory: Path = arguments.payload or Path(empty)
        with lab.resumed(directory) as (machine, folder):
            if arguments.action == "shell":
                shell(machine, folder)
                return 0
            result = machine.run(arguments.command, arguments.timeout_s, check=False)
    sys.stdout.write(result.stdout)
    sys.stderr.write(result.stderr)
    return result.code


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m tests.vm.lab", description=__doc__)
    parser.add_argument(
        "--suite", default=DEFAULT_SUITE, help="Debian suite of the kernel, or SUITE@LINE"
    )
    parser.add_argument(
        "--system", choices=SYSTEMS, default="plain", help="systemd: with systemd as PID 1"
    )
    parser.add_argument(
        "--payload", type=Path, help="directory to mount at /opt/aod, with systemd at /opt/payload"
    )
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("build", help="build all that is not in the cache")
    actions.add_parser("shell", help="open a shell in a fresh guest")
    run = actions.add_parser("run", help="run one command in a fresh guest")
    run.add_argument("command")
    run.add_argument("--timeout-s", type=float, default=600.0)
    actions.add_parser("clean", help="remove the cache")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
