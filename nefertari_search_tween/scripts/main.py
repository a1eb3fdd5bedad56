"""``nefertari-search COMMAND INI [key=value ...] [options]``.

Exit codes: 0 all is well; 1 something is not (documents refused, mappings that differ, indices
not built, changes that wait); 2 wrong usage, a bad setting, a server that does not answer.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Optional

import click
from rich.console import Console
from rich.table import Table

from nefertari_search_tween.exceptions import BackendError
from nefertari_search_tween.indexing.rebuild.rebuild import index_missing, rebuild
from nefertari_search_tween.interfaces.cache_stats import hit_rates
from nefertari_search_tween.interfaces.outbox import Backlog
from nefertari_search_tween.mirror.mapping import mapping_diff
from nefertari_search_tween.mirror.registry import Mirror
from nefertari_search_tween.scripts.common import (
    EXIT_FAILURE,
    EXIT_PROBLEM,
    application,
    chosen,
    common,
)
from nefertari_search_tween.scripts.dead_letters import dead_letters
from nefertari_search_tween.scripts.output import shown
from nefertari_search_tween.scripts.report import report
from nefertari_search_tween.scripts.triggers import triggers
from nefertari_search_tween.scripts.verify import repair_command, verify_command
from nefertari_search_tween.scripts.worker import sync_command

# What waits for longer is late.
LATE_SECONDS = 60.0
NOTHING = Backlog(0, 0.0)
# Of the table of `status`, in the order of its rows.
COLUMNS = (
    "model",
    "index",
    "documents",
    "rows",
    "refused",
    "waiting",
    "oldest",
    "dead",
    "state",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="nefertari-search-tween")
def cli() -> None:
    """Search indices of a nefertari application: build, look at, keep in order.

    INI is the application's ini file, optionally FILE#SECTION; key=value words after it
    replace values of its [DEFAULT] section, as with pserve.
    """


@cli.command()
@common
def index(ini: str, variables: tuple[str, ...], models: str, as_json: bool) -> None:
    """Index the objects that are missing from the indices; build indices that are not there."""
    with application(ini, variables) as search, shown(as_json) as progress:
        done = {
            mirror.name: index_missing(
                search.mirrors,
                mirror,
                search.settings.chunk_size,
                search.outbox,
                search.rebuilds,
                progress,
            )
            for mirror in chosen(search, models)
        }
    report(done, as_json)


@cli.command("rebuild")
@common
@click.option("--restart", is_flag=True, help="Do not go on with a rebuild that was cut off.")
def rebuild_command(
    ini: str, variables: tuple[str, ...], models: str, as_json: bool, restart: bool
) -> None:
    """Build new indices from the database and swap them in; searches go on meanwhile.

    One that was cut off is gone on with. A model is rebuilt by one process at a time.
    """
    with application(ini, variables) as search, shown(as_json) as progress:
        mirrors = chosen(search, models)
        size = search.settings.chunk_size
        outbox, rebuilds = search.outbox, search.rebuilds
        done = rebuild(search.mirrors, rebuilds, outbox, mirrors, size, progress, restart)
    report(done, as_json)


@cli.command()
@common
def status(ini: str, variables: tuple[str, ...], models: str, as_json: bool) -> None:
    """Show each mirror: where its index is, its documents and the database's, what waits (for
    how many seconds) in the outbox, dead letters, what is wrong."""
    with application(ini, variables) as search:
        where = search.settings.where
        lag = search.outbox.lag()
        letters = search.outbox.dead_letter_counts()
        rates = {} if search.figures is None else hit_rates(search.figures.all())
        rows = [
            _status(mirror, search, lag.get(mirror.name, NOTHING), letters.get(mirror.name, 0))
            for mirror in chosen(search, models)
        ]
        for row in rows:
            row["cached"] = _percent(rates.get(row["model"]))
    if as_json:
        shown = {row["model"]: {**row, "backend": where} for row in rows}
        click.echo(json.dumps(shown, indent=2))
    else:
        click.echo(f"mirrors live in {where}")
        table = Table(box=None)
        shown_columns = COLUMNS if search.figures is None else (*COLUMNS, "cached %")
        for name in shown_columns:
            table.add_column(name, justify="left" if name in ("model", "index") else "right")
        for row in rows:
            values = list(row.values())[: len(shown_columns)]
            table.add_row(*(str("" if value is None else value) for value in values))
        Console(width=max(130, Console().width)).print(table)
    if not all(map(_well, rows)):
        sys.exit(EXIT_PROBLEM)


@cli.command("mapping")
@common
def mapping_command(ini: str, variables: tuple[str, ...], models: str, as_json: bool) -> None:
    """Show the mappings that the models give, and where the indices differ from them."""
    with application(ini, variables, alone=True) as search:
        shown: dict[str, Any] = {}
        for mirror in chosen(search, models):
            found = search.mirrors.backend.get_mapping(mirror.alias)
            lines = ["not built"] if found is None else mapping_diff(mirror.mapping, found)
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


def _percent(rate: Optional[float]) -> Optional[float]:
    return None if rate is None else round(100 * rate, 1)


def _well(row: dict[str, Any]) -> bool:
    late = row["oldest"] > LATE_SECONDS
    return row["state"] == "ready" and not late and not row["dead_letters"]


def _status(mirror: Mirror, search: Any, waiting: Backlog, letters: int) -> dict[str, Any]:
    live = [
        name
        for name, aliases in search.mirrors.indices_of(mirror).items()
        if mirror.alias in aliases
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
        "waiting": waiting.rows,
        "oldest": round(waiting.age_seconds, 1),
        "dead_letters": letters,
        "state": state,
    }


for command in (sync_command, dead_letters, triggers, verify_command, repair_command):
    cli.add_command(command)


def main(arguments: Optional[list[str]] = None) -> None:
    """Entry point of the console script."""
    try:
        cli(arguments)
    except BackendError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(EXIT_FAILURE)


if __name__ == "__main__":
    main()
