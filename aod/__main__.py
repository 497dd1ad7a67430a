"""The command `aod`."""

import os
import sys
from typing import Annotated

import typer

from aod import journal
from aod.commands import config
from aod.commands.collect import collect
from aod.commands.doctor import doctor
from aod.commands.list import list_bundles
from aod.commands.names import names
from aod.commands.run import run
from aod.commands.show import show
from aod.commands.top import top
from aod.commands.trace import trace
from aod.errors import AodError, ConfigError, tell

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
    """Run the command; tell an error in a sentence and end with its exit code."""
    try:
        app()
    except AodError as error:
        tell(error)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
