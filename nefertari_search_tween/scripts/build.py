"""``nefertari-search index``, ``rebuild``, ``adopt`` and ``new-identity``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import click

from nefertari_search_tween.indexing.rebuild.missing import index_missing
from nefertari_search_tween.indexing.rebuild.rebuild import rebuild
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.runtime import SearchRuntime, adopts
from nefertari_search_tween.scripts.common import (
    application,
    basic,
    common,
    mirrors_named,
    processes,
)
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
@processes
def rebuild_command(
    ini: str,
    variables: tuple[str, ...],
    models: str,
    as_json: bool,
    restart: bool,
    processes: int,
) -> None:
    """Build new indices from the database and swap them in; searches go on meanwhile.

    An interrupted rebuild resumes. One command at a time rebuilds a model.
    """
    with application(ini, variables) as runtime, progress_bars(as_json) as progress:
        mirrors = _readable(mirrors_named(runtime, models), models)
        size = runtime.settings.chunk_size
        outbox, locks = runtime.outbox, runtime.rebuild_locks
        results = rebuild(
            runtime.mirrors, locks, outbox, mirrors, size, progress, restart, processes
        )
    print_build_results(results, as_json)


@click.command("adopt")
@common
def adopt_command(ini: str, variables: tuple[str, ...], models: str, as_json: bool) -> None:
    """Take over indices that belong to another database, or to this one at another place.

    What another database has left in them is not read: rebuild them after that. Stop the other
    application first, unless it is this one before its database moved.
    """
    with _unchecked_application(ini, variables) as runtime:
        adopted = {
            mirror.name: runtime.mirrors.adopt(mirror) for mirror in mirrors_named(runtime, models)
        }
        unread = sorted(
            mirror.name
            for mirror in mirrors_named(runtime, models)
            if adopted[mirror.name] and not mirror.check()
        )
        identifier = runtime.identity.identifier
    if as_json:
        result = {"identifier": identifier, "adopted": adopted, "to_rebuild": unread}
        click.echo(json.dumps(result, indent=2))
        return
    names = [name for each in adopted.values() for name in each]
    click.echo(f"adopted for database {identifier}: {', '.join(names) or 'nothing'}")
    if unread:
        click.echo(
            f"{', '.join(unread)}: what is in the index is another database's, and is not read: "
            "run `nefertari-search rebuild`"
        )


@click.command("new-identity")
@basic
def new_identity_command(ini: str, variables: tuple[str, ...], as_json: bool) -> None:
    """Give a copy of a database an identity of its own: what is built from the original is not its.

    Its indices must have names of their own (elasticsearch.index_name), or be adopted.
    """
    with _unchecked_application(ini, variables) as runtime:
        identity = runtime.primary.renew_identity()
    if as_json:
        click.echo(json.dumps({"identifier": identity.identifier, "address": identity.address}))
    else:
        click.echo(f"{identity.address} is the database {identity.identifier} from now on")


@contextmanager
def _unchecked_application(ini: str, variables: tuple[str, ...]) -> Iterator[SearchRuntime]:
    """Provide the runtime of an application that may have no index of its own to start with."""
    token = adopts.set(True)
    try:
        with application(ini, variables) as runtime:
            yield runtime
    finally:
        adopts.reset(token)


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
