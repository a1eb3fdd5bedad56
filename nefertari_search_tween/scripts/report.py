"""What a command that indexes says at its end."""

from __future__ import annotations

import json
import sys

import click

from nefertari_search_tween.indexing.bulk_writer import BulkResult
from nefertari_search_tween.scripts.common import EXIT_PROBLEM


def report(done: dict[str, BulkResult], as_json: bool, quiet: bool = False) -> None:
    """Print what was indexed, by model; end the program with 1 when something was refused.

    :param quiet: print what was refused alone.
    """
    if as_json:
        click.echo(
            json.dumps(
                {
                    name: {
                        "indexed": built.indexed,
                        "refused": built.rejected,
                        **({} if built.resumed is None else {"resumed": built.resumed}),
                    }
                    for name, built in done.items()
                },
                indent=2,
            )
        )
    else:
        for name, built in done.items():
            if quiet and not built.rejected:
                continue
            refused = f", {built.rejected} refused (see the log)" if built.rejected else ""
            resumed = f" after {built.resumed} that were there" if built.resumed else ""
            click.echo(f"{name}: {built.indexed} documents indexed{resumed}{refused}")
    if any(built.rejected for built in done.values()):
        sys.exit(EXIT_PROBLEM)
