"""The command `aod`."""

import errno
import os
import sys
from typing import Annotated

import typer

from aod.commands import config
from aod.commands.collect import collect
from aod.commands.doctor import doctor
from aod.commands.list import list_bundles
from aod.commands.names import names
from aod.commands.run import run
from aod.commands.show import show
from aod.commands.top import top
from aod.commands.trace import trace
from aod.errors import AodError, ConfigError, HostError, print_error
from aod.runtime import journal

OUTPUT_ERRORS = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What writing to stdout can end with; anything else names its file, or is a bug."""
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

app = typer.Typer(
    help="Keeps the evidence of slow, failing and hanging SMB operations.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.command()(run)
app.command()(doctor)
app.add_typer(config.app, name="config")
app.command()(trace)
app.command()(top)
app.command()(collect)
app.command("list")(list_bundles)
app.command()(show)
app.command()(names)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"aod {version('aod')}")
        raise typer.Exit


@app.callback()
def _set_up_log(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    level = os.environ.get("AOD_LOG_LEVEL", "INFO").upper()
    if level not in LEVELS:
        raise ConfigError([f"AOD_LOG_LEVEL: {level!r} (allowed: {', '.join(LEVELS)})"])
    journal.log_to(sys.stderr, level, os.environ.get("JOURNAL_STREAM"))


def main() -> None:
    """Run the command; print an error as a sentence and end with its exit code."""
    code: int | str | None = 0
    try:
        try:
            app()
        except SystemExit as end:
            code = end.code
        if sys.stdout:
            sys.stdout.flush()
    except AodError as error:
        print_error(error)
        code = error.exit_code
    except OSError as error:
        if error.filename is not None or error.errno not in OUTPUT_ERRORS:
            raise
        _give_up_stdout(error)
        code = HostError.exit_code
    sys.exit(code)


def _give_up_stdout(error: OSError) -> None:
    """Say why stdout takes no more, unless its reader has left, and let the rest go nowhere."""
    if error.errno != errno.EPIPE:
        print_error(HostError(f"cannot write to stdout: {error.strerror}"))
    os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), sys.stdout.fileno())


if __name__ == "__main__":
    main()
