"""``nefertari-search triggers install|remove|status INI``: see docs/triggers.rst."""

from __future__ import annotations

import json
import sys
from typing import Any, Callable

import click

from nefertari_search_tween.runtime import SearchRuntime
from nefertari_search_tween.scripts.common import EXIT_PROBLEM, application, basic


@click.group()
def triggers() -> None:
    """Mirror what raw SQL and other programs change: triggers in the database.

    Exit codes: 0 success; 1 triggers are missing, outdated or obsolete, or rows of unmirrored
    models are pending; 2 wrong usage, or the database refused.
    """


@triggers.command()
@basic
def install(ini: str, variables: tuple[str, ...], as_json: bool) -> None:
    """Create what is missing, replace what is outdated, drop what no mirror needs."""
    from nefertari_search_tween.primary.sqla.capture.triggers import install as database

    _run(ini, variables, as_json, database.install, database.INSTALLED)


@triggers.command()
@basic
def remove(ini: str, variables: tuple[str, ...], as_json: bool) -> None:
    """Drop all triggers of this package, and nothing else."""
    from nefertari_search_tween.primary.sqla.capture.triggers import install as database

    _run(ini, variables, as_json, database.remove, database.MISSING)


@triggers.command()
@basic
def status(ini: str, variables: tuple[str, ...], as_json: bool) -> None:
    """Show for each table whether its triggers match what the mirrors need."""
    from nefertari_search_tween.primary.sqla.capture.triggers import install as database

    _run(ini, variables, as_json, database.status, database.INSTALLED)


def _run(
    ini: str,
    variables: tuple[str, ...],
    as_json: bool,
    action: Callable[[Any, Any], list[Any]],
    expected: str,
) -> None:
    """Run *action* on the database and print the state of each table.

    :param expected: the state that all tables should have; exit with 1 if one has another.
    :raises click.UsageError: the primary is not an SQL database.
    """
    from nefertari_search_tween.primary.sqla.primary import SqlaPrimary

    with application(ini, variables) as runtime:
        primary = runtime.primary
        if not isinstance(primary, SqlaPrimary):
            raise click.UsageError(
                "the primary is nefertari_mongodb: MongoDB has no triggers (docs/mongodb.rst)"
            )
        tables = action(primary.outbox.engine, primary.dependencies)
        unclaimed = _unclaimed(runtime)
    if as_json:
        states = {each.table: each.state for each in tables}
        click.echo(json.dumps({"tables": states, "unclaimed": unclaimed}, indent=2))
    else:
        width = max((len(each.table) for each in tables), default=0)
        for each in tables:
            click.echo(f"{each.table:<{width}}  {each.state}")
        for name, rows in unclaimed.items():
            click.echo(f"{rows} rows pending of {name}, which this application does not mirror")
    if unclaimed or any(each.state != expected for each in tables):
        sys.exit(EXIT_PROBLEM)


def _unclaimed(runtime: SearchRuntime) -> dict[str, int]:
    """Return the number of pending rows by model, of models without mirrors here."""
    tracked = {model.__name__ for model in runtime.dependencies.tracked_models}
    return {
        name: backlog.rows
        for name, backlog in sorted(runtime.outbox.backlog().items())
        if name not in tracked
    }
