"""``nefertari-search index`` and ``nefertari-search rebuild``."""

from __future__ import annotations

from collections.abc import Iterable

import click

from nefertari_search_tween.indexing.rebuild.missing import index_missing
from nefertari_search_tween.indexing.rebuild.rebuild import rebuild
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.scripts.common import application, common, mirrors_named
from nefertari_search_tween.scripts.output import print_build_results, progress_bars


@click.command("index")
@common
def index_command(ini: str, variables: tuple[str, ...], models: str, as_json: bool) -> None:
    """Index the objects that are missing from the indices; build indices that are not there."""
    with application(ini, variables) as runtime, progress_bars(as_json) as progress:
        results = {
            mirror.name: index_missing(
                runtime.mirrors,
                mirror,
                runtime.settings.chunk_size,
                runtime.outbox,
                runtime.rebuild_locks,
                progress,
            )
            for mirror in _readable(mirrors_named(runtime, models), models)
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
    with application(ini, variables) as runtime, progress_bars(as_json) as progress:
        mirrors = _readable(mirrors_named(runtime, models), models)
        size = runtime.settings.chunk_size
        outbox, locks = runtime.outbox, runtime.rebuild_locks
        results = rebuild(runtime.mirrors, locks, outbox, mirrors, size, progress, restart)
    print_build_results(results, as_json)


def _readable(mirrors: Iterable[Mirror], models: str) -> list[Mirror]:
    """Return those of *mirrors* that can be read whole; name the others.

    :param models: the option. A model that it names is not left out: reading it is an error.
    """
    readable = []
    for mirror in mirrors:
        hook = None if models else mirror.hooks.unreadable()
        if hook is None:
            readable.append(mirror)
        else:
            click.echo(f"{mirror.name} is left out: {hook.name} may hide a part of it", err=True)
    return readable
