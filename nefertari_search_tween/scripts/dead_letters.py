"""``nefertari-search dead-letters``: documents that could not be indexed, and why."""

from __future__ import annotations

import csv
import json
from contextlib import closing
from datetime import datetime, timezone
from typing import Callable

import click

from nefertari_search_tween.indexing.wakeup import Wakeup
from nefertari_search_tween.indexing.worker import Worker
from nefertari_search_tween.interfaces.outbox import DeadLetter
from nefertari_search_tween.runtime import SearchRuntime
from nefertari_search_tween.scripts.common import CommandError, application, common, mirrors_named
from nefertari_search_tween.scripts.worker import drain


@click.group("dead-letters")
def dead_letters() -> None:
    """Documents that the search backend rejected, or that can't be rendered."""


def _common(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that select letters to *function*."""
    keys = click.option(
        "--keys", default="", help="Only these: primary keys joined by commas, quoted as in CSV."
    )
    return common(keys(function))


@dead_letters.command("list")
@_common
def list_letters(
    ini: str, variables: tuple[str, ...], models: str, keys: str, as_json: bool
) -> None:
    """Show model, key, time and error of each, oldest first."""
    with application(ini, variables) as runtime:
        letters = _letters(runtime, models, keys)
    if as_json:
        rows = (
            {
                "model": each.key.model,
                "key": each.key.pk,
                "failed": _when(each),
                "error": each.error,
            }
            for each in letters
        )
        click.echo(json.dumps(list(rows), indent=2))
    else:
        for each in letters:
            click.echo(f"{each.key.model} {each.key.pk}  {_when(each)}  {each.error}")


@dead_letters.command("retry")
@_common
@click.option("--all", "all_letters", is_flag=True, help="All of them.")
def retry_letters(
    ini: str, variables: tuple[str, ...], models: str, keys: str, all_letters: bool, as_json: bool
) -> None:
    """Index them again, here or by a worker. A letter is removed once its document is
    indexed."""
    _require_selection(models, keys, all_letters)
    with application(ini, variables) as runtime:
        count = runtime.outbox.retry([each.key for each in _letters(runtime, models, keys)])
        if runtime.settings.sync != "worker":
            with closing(Wakeup()) as wakeup:
                drain(Worker(runtime.indexer, wakeup), as_json)
            return
    click.echo(json.dumps({"queued": count}) if as_json else f"{count} queued for the workers")


@dead_letters.command("drop")
@_common
@click.option("--all", "all_letters", is_flag=True, help="All of them.")
def drop_letters(
    ini: str, variables: tuple[str, ...], models: str, keys: str, all_letters: bool, as_json: bool
) -> None:
    """Remove them. Their documents stay out of the index."""
    _require_selection(models, keys, all_letters)
    with application(ini, variables) as runtime:
        count = runtime.outbox.drop([each.key for each in _letters(runtime, models, keys)])
    click.echo(json.dumps({"dropped": count}) if as_json else f"{count} dropped")


def _require_selection(models: str, keys: str, all_letters: bool) -> None:
    if not (models or keys or all_letters):
        raise click.UsageError("say which: --models, --keys, or --all")


def _letters(runtime: SearchRuntime, models: str, keys: str) -> list[DeadLetter]:
    """Return the selected letters, only the last one of each document.

    :raises CommandError: a key has no letter.
    """
    names = {mirror.name for mirror in mirrors_named(runtime, models)} if models else None
    pks = {each.strip() for row in csv.reader([keys], skipinitialspace=True) for each in row}
    pks.discard("")
    letters = {
        each.key: each
        for each in runtime.outbox.dead_letters()
        if (names is None or each.key.model in names) and (not pks or str(each.key.pk) in pks)
    }
    missing = pks - {str(key.pk) for key in letters}
    if missing:
        raise CommandError(f"there is no dead letter of {', '.join(sorted(missing))}")
    return sorted(letters.values(), key=lambda each: (each.failed_at, str(each.key)))


def _when(letter: DeadLetter) -> str:
    moment = datetime.fromtimestamp(letter.failed_at, timezone.utc)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
