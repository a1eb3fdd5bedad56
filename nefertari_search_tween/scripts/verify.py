"""``nefertari-search verify`` and ``nefertari-search repair``."""

from __future__ import annotations

import json
import sys
from typing import Any, Optional

import click

from nefertari_search_tween.exceptions import Reason
from nefertari_search_tween.indexing.verify.comparison import KINDS
from nefertari_search_tween.indexing.verify.repair import record, repair
from nefertari_search_tween.indexing.verify.verify import Differences, verify
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.runtime import SearchRuntime
from nefertari_search_tween.scripts.common import (
    EXIT_PROBLEM,
    application,
    common,
    mirrors_named,
    processes,
)
from nefertari_search_tween.scripts.output import progress_bars

MAX_KEYS = 10
PROBLEMS = {
    Reason.NO_INDEX: "it has not been built",
    Reason.SCHEMA_MISMATCH: "it was built for another schema",
    Reason.FOREIGN_INDEX: "it belongs to another database",
}


@click.command("verify")
@common
@click.option("--show-keys", default=MAX_KEYS, help="Keys to show of each kind.")
@processes
def verify_command(
    ini: str,
    variables: tuple[str, ...],
    models: str,
    as_json: bool,
    show_keys: int,
    processes: int,
) -> None:
    """Compare the indices with the database; changes in flight are not differences."""
    with application(ini, variables) as runtime:
        differences = _verified(runtime, mirrors_named(runtime, models), as_json, processes)
    _report(differences, as_json, show_keys)
    if not all(each.clean for each in differences.values()):
        sys.exit(EXIT_PROBLEM)


@click.command("repair")
@common
@click.option("--show-keys", default=MAX_KEYS, help="Keys to show of each kind.")
@click.option("--inline", is_flag=True, help="Index here instead of leaving it to workers.")
@processes
def repair_command(
    ini: str,
    variables: tuple[str, ...],
    models: str,
    as_json: bool,
    show_keys: int,
    inline: bool,
    processes: int,
) -> None:
    """Verify, and index again what differs from the database."""
    with application(ini, variables) as runtime:
        mirrors = mirrors_named(runtime, models)
        before = _verified(runtime, mirrors, as_json, processes)
        remaining: dict[str, Differences] = {}
        for mirror in mirrors:
            differences = before[mirror.name]
            if differences.problem is not None:
                remaining[mirror.name] = differences
            elif inline or runtime.settings.sync != "worker":
                remaining[mirror.name] = repair(runtime.indexer, mirror, differences)
            else:
                record(runtime.outbox, mirror, differences)
    _report(before, as_json, show_keys, remaining)
    if not all(each.clean for each in remaining.values()):
        sys.exit(EXIT_PROBLEM)


def _verified(
    runtime: SearchRuntime, mirrors: list[Mirror], as_json: bool, processes: int
) -> dict[str, Differences]:
    with progress_bars(as_json) as progress:
        return {
            mirror.name: verify(
                runtime.mirrors,
                runtime.outbox,
                mirror,
                runtime.settings.chunk_size,
                progress(mirror),
                processes,
            )
            for mirror in mirrors
        }


def _report(
    by_model: dict[str, Differences],
    as_json: bool,
    show_keys: int,
    remaining: Optional[dict[str, Differences]] = None,
) -> None:
    """Print the differences.

    :param remaining: after a repair, what still differs of the models repaired here.
    """
    if as_json:
        rows = {name: _row(each) for name, each in by_model.items()}
        if remaining is not None:
            for name, row in rows.items():
                row["remaining"] = _row(remaining[name]) if name in remaining else None
        # An ObjectId is its text.
        click.echo(json.dumps(rows, indent=2, default=str))
        return
    for name, differences in by_model.items():
        for line in _lines(differences, show_keys):
            click.echo(f"{name}: {line}")
        if remaining is None or (differences.clean and name not in remaining):
            continue
        if name not in remaining:
            click.echo(f"{name}: queued for the workers")
        elif not remaining[name].clean:
            for line in _lines(remaining[name], show_keys):
                click.echo(f"{name}: still: {line}")
        elif not differences.clean:
            click.echo(f"{name}: repaired")


def _row(differences: Differences) -> dict[str, Any]:
    return {
        "compared": differences.compared,
        **{kind: _keys(differences, kind) for kind in KINDS},
        "pending": differences.pending,
        "changing": differences.changing,
        "problem": differences.problem,
    }


def _keys(differences: Differences, kind: str) -> list[Any]:
    keys: list[Any] = getattr(differences, kind)
    return keys + differences.foreign if kind == "orphaned" else keys


def _lines(differences: Differences, show_keys: int) -> list[str]:
    if differences.problem is not None:
        return [f"{PROBLEMS[differences.problem]}: run `nefertari-search rebuild`"]
    counts = ", ".join(f"{len(_keys(differences, kind))} {kind}" for kind in KINDS)
    lines = [f"{differences.compared} compared, {counts}"]
    for kind in (*KINDS, "pending"):
        keys = _keys(differences, kind)
        if keys and show_keys > 0:
            more = f" and {len(keys) - show_keys} more" if len(keys) > show_keys else ""
            lines.append(f"{kind}: {', '.join(map(str, keys[:show_keys]))}{more}")
    if differences.pending:
        lines.append(
            f"{len(differences.pending)} differ and have changes pending that no process indexes: "
            "run `nefertari-search status`"
        )
    if differences.changing:
        lines.append(f"{len(differences.changing)} kept changing; their documents will follow")
    return lines
