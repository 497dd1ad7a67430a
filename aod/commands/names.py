"""`aod names`: what the pseudonyms of redacted bundles stand for, on the machine that made them."""

import json
from typing import Annotated

import typer


def names(
    pseudonyms: Annotated[
        list[str] | None, typer.Argument(help="Such as server1; all unless given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Print the names that pseudonyms stand for."""
    from aod import text
    from aod.errors import HostError
    from aod.host.directories import state_directory
    from aod.redact.pseudonyms import FILE, read

    state = state_directory()
    try:
        known = read(state)
    except FileNotFoundError:
        known = {}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise HostError(f"cannot read {state / FILE}: {error} (run as root)") from error
    wanted = {each: known.get(each) for each in pseudonyms or known}
    if as_json:
        typer.echo(json.dumps(wanted))
        return
    if not wanted:
        typer.echo(f"no names yet in {state / FILE}")
        return
    width = max(map(len, wanted), default=0)
    for pseudonym, name in wanted.items():
        typer.echo(f"{pseudonym:{width}}  {text.printable(name) if name else '(not known)'}")
