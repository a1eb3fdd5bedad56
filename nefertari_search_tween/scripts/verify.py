"""``nefertari-search verify`` and ``nefertari-search repair``."""

from __future__ import annotations

import json
import sys
from typing import Any, Optional

import click

from nefertari_search_tween.exceptions import Reason
from nefertari_search_tween.indexing.verify.repair import record, repair
from nefertari_search_tween.indexing.verify.verify import KINDS, Differences, verify
from nefertari_search_tween.mirror.registry import Mirror
from nefertari_search_tween.scripts.common import EXIT_PROBLEM, application, chosen, common
from nefertari_search_tween.scripts.output import shown

KEYS_SHOWN = 10
PROBLEMS = {
    Reason.NO_INDEX: "it has not been built",
    Reason.SCHEMA_MISMATCH: "it was built for another schema",
}


@click.command("verify")
@common
@click.option("--keys", default=KEYS_SHOWN, help="Show so many keys of each kind.")
def verify_command(
    ini: str, variables: tuple[str, ...], models: str, as_json: bool, keys: int
) -> None:
    """Compare the indices with the database; what is merely on its way is no difference."""
    with application(ini, variables) as search:
        found = _verified(search, chosen(search, models), as_json)
    _report(found, as_json, keys)
    if not all(each.clean for each in found.values()):
        sys.exit(EXIT_PROBLEM)


@click.command("repair")
@common
@click.option("--keys", default=KEYS_SHOWN, help="Show so many keys of each kind.")
@click.option("--now", is_flag=True, help="Do it here, where workers would do it otherwise.")
def repair_command(
    ini: str, variables: tuple[str, ...], models: str, as_json: bool, keys: int, now: bool
) -> None:
    """Verify, and bring what differs to the state of the database."""
    with application(ini, variables) as search:
        mirrors = chosen(search, models)
        found = _verified(search, mirrors, as_json)
        left: dict[str, Differences] = {}
        for mirror in mirrors:
            differences = found[mirror.name]
            if differences.problem is not None:
                left[mirror.name] = differences
            elif now or search.settings.sync == "inline":
                left[mirror.name] = repair(search.indexer, search.outbox, mirror, differences)
            else:
                record(search.outbox, mirror, differences)
    _report(found, as_json, keys, left)
    if not all(each.clean for each in left.values()):
        sys.exit(EXIT_PROBLEM)


def _verified(search: Any, mirrors: list[Mirror], as_json: bool) -> dict[str, Differences]:
    with shown(as_json) as progress:
        return {
            mirror.name: verify(
                search.mirrors,
                search.outbox,
                mirror,
                search.settings.chunk_size,
                None if progress is None else progress(mirror),
            )
            for mirror in mirrors
        }


def _report(
    found: dict[str, Differences],
    as_json: bool,
    keys: int,
    left: Optional[dict[str, Differences]] = None,
) -> None:
    """
    :param left: of a repair: what still differs after it, of models that were repaired here.
    """
    if as_json:
        rows = {name: _row(each) for name, each in found.items()}
        if left is not None:
            for name, row in rows.items():
                row["left"] = _row(left[name]) if name in left else None
        click.echo(json.dumps(rows, indent=2))
        return
    for name, differences in found.items():
        for line in _lines(differences, keys):
            click.echo(f"{name}: {line}")
        if left is None or (differences.clean and name not in left):
            continue
        if name not in left:
            click.echo(f"{name}: the differences wait for a worker")
        elif not left[name].clean:
            for line in _lines(left[name], keys):
                click.echo(f"{name}: still: {line}")
        elif not differences.clean:
            click.echo(f"{name}: repaired")


def _row(found: Differences) -> dict[str, Any]:
    return {
        "compared": found.compared,
        **{kind: _keys(found, kind) for kind in KINDS},
        "waiting": found.pending,
        "moving": found.changing,
        "problem": found.problem,
    }


def _keys(found: Differences, kind: str) -> list[Any]:
    keys: list[Any] = getattr(found, kind)
    return keys + found.foreign if kind == "orphaned" else keys


def _lines(found: Differences, keys: int) -> list[str]:
    if found.problem is not None:
        return [f"{PROBLEMS[found.problem]}: run `nefertari-search rebuild`"]
    counts = ", ".join(f"{len(_keys(found, kind))} {kind}" for kind in KINDS)
    lines = [f"{found.compared} compared, {counts}"]
    for kind in (*KINDS, "waiting"):
        of_kind = _keys(found, kind)
        if of_kind and keys > 0:
            more = f" and {len(of_kind) - keys} more" if len(of_kind) > keys else ""
            lines.append(f"{kind}: {', '.join(map(str, of_kind[:keys]))}{more}")
    if found.pending:
        lines.append(
            f"{len(found.pending)} differ while changes wait that nobody indexes: "
            "look at `nefertari-search status`"
        )
    if found.changing:
        lines.append(f"{len(found.changing)} changed all the time; their documents follow")
    return lines
