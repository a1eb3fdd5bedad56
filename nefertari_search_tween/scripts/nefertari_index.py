"""``nefertari.index``: nefertari's own command, on the mirrors.

It replaces nefertari's, which reads at most 10,000 objects of a model and does not start with
current clients of search servers. ``nefertari-search index`` and ``nefertari-search rebuild`` do
the same, and more.

Exit codes are those of :mod:`~nefertari_search_tween.scripts.main`.
"""

from __future__ import annotations

from typing import Any, Optional
from urllib.parse import parse_qsl

import click
from nefertari.json_httpexceptions import JHTTPBadRequest

from nefertari_search_tween.compat.index_calls import check_index_name
from nefertari_search_tween.indexing.rebuild.missing import index_missing
from nefertari_search_tween.indexing.rebuild.rebuild import rebuild
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.scripts.common import (
    CommandError,
    application,
    first_line,
    mirrors_named,
    run_command,
)
from nefertari_search_tween.scripts.output import print_build_results, progress_bars


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-c", "--config", "ini", metavar="INI", required=True, help="The ini file.")
@click.option("--models", default="", help="Index what is missing of these models: A,B.")
@click.option("--recreate", is_flag=True, help="Rebuild all indices, then swap them in.")
@click.option(
    "--params",
    default="",
    help="With --models: which objects to check, as in a query string (a=1&_limit=5).",
)
@click.option("--index", "index_name", help="elasticsearch.index_name; no other name is accepted.")
@click.option("--chunk", type=click.IntRange(min=1), help="Documents in one bulk request.")
@click.option("--quiet", is_flag=True, help="Print problems only.")
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
        raise click.UsageError("either --models or --recreate is required")
    if recreate and params:
        raise click.UsageError("--recreate indexes all objects: --params requires --models")
    with application(ini, ()) as runtime, progress_bars(quiet) as progress:
        try:
            check_index_name(runtime, index_name)
        except ValueError as error:
            raise click.UsageError(f"--index: {error}") from error
        size = chunk or runtime.settings.chunk_size
        mirrors, outbox, locks = runtime.mirrors, runtime.outbox, runtime.rebuild_locks
        if recreate:
            results = rebuild(mirrors, locks, outbox, list(mirrors), size, progress)
        else:
            results = {}
            for mirror in mirrors_named(runtime, models):
                only = _keys(mirror, params) if params else None
                results[mirror.name] = index_missing(
                    mirrors, mirror, size, outbox, locks, progress, only
                )
    print_build_results(results, as_json=False, quiet=quiet)


def _keys(mirror: Mirror, params: str) -> list[Any]:
    """Return the keys of the objects that *params* select in the primary.

    :raises CommandError: the primary does not accept them.
    """
    pk = mirror.document_cls.pk_field()
    filters: dict[str, Any] = {}
    for name, value in parse_qsl(params, keep_blank_values=True):
        filters.setdefault(name, value)
    try:
        filters.update(_fields=[pk], _query_secondary=False)
        objects = mirror.model.get_collection(**filters)
        return [each[pk] for each in objects]
    except (JHTTPBadRequest, ValueError) as error:
        raise CommandError(f"--params {params}: {first_line(error)}") from error


def main(arguments: Optional[list[str]] = None) -> None:
    """Run the console script."""
    run_command(command, arguments)


if __name__ == "__main__":
    main()
