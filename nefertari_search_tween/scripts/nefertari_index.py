"""``nefertari.index``: nefertari's own command, on the mirrors.

It takes the place of nefertari's, which reads no more than 10,000 objects of a model and can't be
started where today's clients of search servers are installed. ``nefertari-search index`` and
``nefertari-search rebuild`` do the same, and more.

Exit codes are those of :mod:`~nefertari_search_tween.scripts.main`.
"""

from __future__ import annotations

import sys
from typing import Any, Optional
from urllib.parse import parse_qsl

import click
from nefertari.json_httpexceptions import JHTTPBadRequest

from nefertari_search_tween.compat.index_calls import own_index
from nefertari_search_tween.exceptions import BackendError
from nefertari_search_tween.indexing.rebuild.missing import index_missing
from nefertari_search_tween.indexing.rebuild.rebuild import rebuild
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.scripts.common import (
    EXIT_FAILURE,
    CommandError,
    application,
    chosen,
    first_line,
)
from nefertari_search_tween.scripts.output import print_build_results, progress_bars


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-c", "--config", "ini", metavar="INI", required=True, help="The ini file.")
@click.option("--models", default="", help="Index what is missing of these models: A,B.")
@click.option("--recreate", is_flag=True, help="Rebuild all indices, then swap them in.")
@click.option(
    "--params",
    default="",
    help="With --models: which objects to look at, as in a query string (a=1&_limit=5).",
)
@click.option("--index", "index_name", help="elasticsearch.index_name: there is no other.")
@click.option("--chunk", type=click.IntRange(min=1), help="Documents in one bulk request.")
@click.option("--quiet", is_flag=True, help="Say nothing, unless something is wrong.")
def command(
    ini: str,
    models: str,
    recreate: bool,
    params: str,
    index_name: Optional[str],
    chunk: Optional[int],
    quiet: bool,
) -> None:
    """Index the objects of a nefertari application."""
    if bool(models) == recreate:
        raise click.UsageError("one of --models and --recreate is needed")
    if recreate and params:
        raise click.UsageError("--recreate is about all objects: --params goes with --models")
    with application(ini, ()) as search, progress_bars(quiet) as progress:
        try:
            own_index(search, index_name)
        except ValueError as error:
            raise click.UsageError(f"--index: {error}") from error
        size = chunk or search.settings.chunk_size
        mirrors, outbox, locks = search.mirrors, search.outbox, search.rebuild_locks
        if recreate:
            results = rebuild(mirrors, locks, outbox, list(mirrors), size, progress)
        else:
            results = {}
            for mirror in chosen(search, models):
                only = _keys(mirror, params) if params else None
                results[mirror.name] = index_missing(
                    mirrors, mirror, size, outbox, locks, progress, only
                )
    print_build_results(results, as_json=False, quiet=quiet)


def _keys(mirror: Mirror, params: str) -> list[Any]:
    """Keys of the objects that *params* ask the primary for.

    :raises Failure: it does not understand them.
    """
    pk = mirror.document_cls.pk_field()
    asked: dict[str, Any] = {}
    for name, value in parse_qsl(params, keep_blank_values=True):
        asked.setdefault(name, value)
    try:
        found = mirror.model.get_collection(**{**asked, "_fields": [pk], "_query_secondary": False})
        return [each[pk] for each in found]
    except (JHTTPBadRequest, ValueError) as error:
        raise CommandError(f"--params {params}: {first_line(error)}") from error


def main(arguments: Optional[list[str]] = None) -> None:
    """Entry point of the console script."""
    try:
        command(arguments)
    except BackendError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(EXIT_FAILURE)


if __name__ == "__main__":
    main()
