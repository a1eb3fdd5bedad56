"""``nefertari-search COMMAND INI [key=value ...] [options]``.

Exit codes: 0 all is well; 1 something is (documents refused, mappings that differ, indices not
built); 2 wrong usage, a bad setting, a server that does not answer.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable, Optional

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from nefertari_search_tween.exceptions import BackendError
from nefertari_search_tween.indexing.bulk import Written
from nefertari_search_tween.indexing.rebuild import index_missing, rebuild
from nefertari_search_tween.mirror.mapping import difference
from nefertari_search_tween.mirror.registry import Mirror
from nefertari_search_tween.scripts.common import EXIT_FAILURE, EXIT_PROBLEM, application
from nefertari_search_tween.scripts.triggers import triggers


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="nefertari-search-tween")
def cli() -> None:
    """Search indices of a nefertari application: build, look at, keep in order.

    INI is the application's ini file, optionally FILE#SECTION; key=value words after it
    replace values of its [DEFAULT] section, as with pserve.
    """


def _common(function: Callable[..., None]) -> Callable[..., None]:
    """Arguments and options that every command has."""
    for decorate in (
        click.argument("variables", nargs=-1, metavar="[key=value ...]"),
        click.argument("ini"),
        click.option("--models", default="", help="Only these models: names joined by commas."),
        click.option("--json", "as_json", is_flag=True, help="One JSON object for machines."),
    ):
        function = decorate(function)
    return function


@cli.command()
@_common
def index(ini: str, variables: tuple[str, ...], models: str, as_json: bool) -> None:
    """Index the objects that are missing from the indices; build indices that are not there."""
    with application(ini, variables) as search, _shown(as_json) as progress:
        done = {
            mirror.name: index_missing(
                search.mirrors, mirror, search.settings.chunk_size, search.outbox.number, progress
            )
            for mirror in _chosen(search, models)
        }
    _report(done, as_json)


@cli.command("rebuild")
@_common
def rebuild_command(ini: str, variables: tuple[str, ...], models: str, as_json: bool) -> None:
    """Build new indices from the database and swap them in; searches go on meanwhile."""
    with application(ini, variables) as search, _shown(as_json) as progress:
        chosen = _chosen(search, models)
        done = rebuild(search.mirrors, chosen, search.settings.chunk_size, progress)
    _report(done, as_json)


@cli.command()
@_common
def status(ini: str, variables: tuple[str, ...], models: str, as_json: bool) -> None:
    """Show each mirror: where its index is, its documents and the database's, what is wrong."""
    with application(ini, variables) as search:
        where = search.settings.where
        rows = [_status(search, mirror) for mirror in _chosen(search, models)]
    if as_json:
        shown = {row["model"]: {**row, "backend": where} for row in rows}
        click.echo(json.dumps(shown, indent=2))
    else:
        click.echo(f"mirrors live in {where}")
        table = Table(box=None)
        for name in ("model", "index", "documents", "rows", "refused", "state"):
            table.add_column(name, justify="left" if name in ("model", "index") else "right")
        for row in rows:
            table.add_row(*(str("" if value is None else value) for value in row.values()))
        Console(width=max(100, Console().width)).print(table)
    if any(row["state"] != "ready" for row in rows):
        sys.exit(EXIT_PROBLEM)


@cli.command("mapping")
@_common
def mapping_command(ini: str, variables: tuple[str, ...], models: str, as_json: bool) -> None:
    """Show the mappings that the models give, and where the indices differ from them."""
    with application(ini, variables) as search:
        shown: dict[str, Any] = {}
        for mirror in _chosen(search, models):
            found = search.mirrors.backend.get_mapping(mirror.alias)
            lines = ["not built"] if found is None else difference(mirror.mapping, found)
            shown[mirror.name] = {"mapping": mirror.mapping, "difference": lines}
    if as_json:
        click.echo(json.dumps(shown, indent=2))
    else:
        for name, entry in shown.items():
            click.echo(f"{name}: {json.dumps(entry['mapping'], indent=2)}")
            for line in entry["difference"] or ["the index agrees"]:
                click.echo(f"{name}: {line}")
    if any(entry["difference"] for entry in shown.values()):
        sys.exit(EXIT_PROBLEM)


def _status(search: Any, mirror: Mirror) -> dict[str, Any]:
    live = [
        name for name, aliases in search.mirrors.concrete(mirror).items() if mirror.alias in aliases
    ]
    documents = refused = None
    mirror.check()
    state = mirror.problem or "ready"
    if live:
        mirror.backend.refresh(mirror.alias)
        stubs = {"query": {"term": {"_inexact": "*"}}, "size": 0, "track_total_hits": True}
        everything = {"size": 0, "track_total_hits": True}
        refused = mirror.backend.search(mirror.alias, stubs)["hits"]["total"]["value"]
        total = mirror.backend.search(mirror.alias, everything)["hits"]["total"]["value"]
        documents = total - refused
    rows = mirror.reader.count()
    if state == "ready" and (refused or documents != rows):
        state = "refused" if refused else "incomplete"
    return {
        "model": mirror.name,
        "index": live[0] if live else None,
        "documents": documents,
        "rows": rows,
        "refused": refused,
        "state": state,
    }


def _chosen(search: Any, models: str) -> list[Mirror]:
    names = [name.strip() for name in models.split(",") if name.strip()]
    unknown = [name for name in names if name not in search.mirrors]
    if unknown:
        raise click.UsageError(
            f"no mirror of {', '.join(unknown)}; there are: "
            + ", ".join(mirror.name for mirror in search.mirrors)
        )
    return [mirror for mirror in search.mirrors if not names or mirror.name in names]


@contextmanager
def _shown(as_json: bool) -> Iterator[Optional[Callable[[Mirror], Callable[[int], None]]]]:
    """Progress: bars on a terminal, a plain line per model elsewhere, nothing for machines."""
    console = Console(stderr=True)
    if as_json:
        yield None
    elif console.is_terminal:
        with Progress(
            TextColumn("{task.description:<20}"),
            BarColumn(),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
        ) as bars:

            def bar(mirror: Mirror) -> Callable[[int], None]:
                task = bars.add_task(mirror.name, total=mirror.reader.count())
                return lambda count: bars.advance(task, count)

            yield bar
    else:

        def line(mirror: Mirror) -> Callable[[int], None]:
            click.echo(f"{mirror.name}: {mirror.reader.count()} objects to read", err=True)
            return lambda count: None

        yield line


def _report(done: dict[str, Written], as_json: bool) -> None:
    if as_json:
        click.echo(
            json.dumps(
                {
                    name: {"indexed": built.settled, "refused": built.refused}
                    for name, built in done.items()
                },
                indent=2,
            )
        )
    else:
        for name, built in done.items():
            refused = f", {built.refused} refused (see the log)" if built.refused else ""
            click.echo(f"{name}: {built.settled} documents indexed{refused}")
    if any(built.refused for built in done.values()):
        sys.exit(EXIT_PROBLEM)


cli.add_command(triggers)


def main(arguments: Optional[list[str]] = None) -> None:
    """Entry point of the console script."""
    try:
        cli(arguments)
    except BackendError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(EXIT_FAILURE)


if __name__ == "__main__":
    main()
