"""``nefertari-search index`` and ``nefertari-search rebuild``."""

from __future__ import annotations

import click

from nefertari_search_tween.indexing.rebuild.missing import index_missing
from nefertari_search_tween.indexing.rebuild.rebuild import rebuild
from nefertari_search_tween.scripts.common import application, chosen, common
from nefertari_search_tween.scripts.output import print_build_results, progress_bars


@click.command("index")
@common
def index_command(ini: str, variables: tuple[str, ...], models: str, as_json: bool) -> None:
    """Index the objects that are missing from the indices; build indices that are not there."""
    with application(ini, variables) as search, progress_bars(as_json) as progress:
        results = {
            mirror.name: index_missing(
                search.mirrors,
                mirror,
                search.settings.chunk_size,
                search.outbox,
                search.rebuild_locks,
                progress,
            )
            for mirror in chosen(search, models)
        }
    print_build_results(results, as_json)


@click.command("rebuild")
@common
@click.option(
    "--restart", is_flag=True, help="Start over instead of resuming an interrupted rebuild."
)
def rebuild_command(
    ini: str, variables: tuple[str, ...], models: str, as_json: bool, restart: bool
) -> None:
    """Build new indices from the database and swap them in; searches go on meanwhile.

    An interrupted rebuild resumes. One process at a time rebuilds a model.
    """
    with application(ini, variables) as search, progress_bars(as_json) as progress:
        mirrors = chosen(search, models)
        size = search.settings.chunk_size
        outbox, locks = search.outbox, search.rebuild_locks
        results = rebuild(search.mirrors, locks, outbox, mirrors, size, progress, restart)
    print_build_results(results, as_json)
