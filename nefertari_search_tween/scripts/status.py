"""``nefertari-search status``, ``mapping`` and ``explain``."""

from __future__ import annotations

import json
import sys
from typing import Any, Optional, Union

import click
from rich.console import Console
from rich.table import Table

from nefertari_search_tween.documents.format import STUBS
from nefertari_search_tween.interfaces.field_proof import Doubt, FieldProof
from nefertari_search_tween.interfaces.outbox import Backlog
from nefertari_search_tween.interfaces.process_counts import (
    MULTI_COLLECTION_READS,
    hit_rate,
    reads,
    sums,
)
from nefertari_search_tween.mirror.mapping import mapping_diff
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.runtime import UNTRACKED_CURE, SearchRuntime
from nefertari_search_tween.scripts.common import EXIT_PROBLEM, application, common, mirrors_named

#: Changes that are pending for longer are a problem.
MAX_LAG_SECONDS = 60.0
EMPTY = Backlog(0, 0.0)
#: heading -> key of a row, in the order of the table
COLUMNS = {
    "model": "model",
    "index": "index",
    "documents": "documents",
    "rows": "rows",
    "rejected": "rejected",
    "pending": "pending",
    "lag s": "lag_seconds",
    "dead": "dead_letters",
    "state": "state",
}
CACHE_COLUMN = {"cached %": "cache_hit_percent"}
HOOK_COLUMN = {"read from the primary only": "hook"}


@click.command("status")
@common
def status_command(ini: str, variables: tuple[str, ...], models: str, as_json: bool) -> None:
    """Show each mirror: its index, document and row counts, pending changes, dead letters.

    The lag is the age of the oldest pending change, in seconds. Below, who answered the reads of
    the last day, and why not the mirror.
    """
    with application(ini, variables) as runtime:
        where = runtime.settings.where
        backlog = runtime.outbox.backlog()
        letters = runtime.outbox.dead_letter_counts()
        has_cache = runtime.cache.on
        counts = sums(runtime.process_counts.read_all())
        rows = [
            {
                **_status(mirror, runtime, backlog.get(mirror.name, EMPTY)),
                "dead_letters": letters.get(mirror.name, 0),
                "cache_hit_percent": _percent(hit_rate(counts.get(mirror.name, {}))),
                "reads": reads(counts.get(mirror.name, {})),
            }
            for mirror in mirrors_named(runtime, models)
        ]
    if as_json:
        by_model = {row["model"]: {**row, "backend": where} for row in rows}
        click.echo(json.dumps(by_model, indent=2))
    else:
        click.echo(f"search index: {where}")
        columns = {**COLUMNS, **CACHE_COLUMN} if has_cache else COLUMNS
        if any(row["hook"] for row in rows):
            columns = {**columns, **HOOK_COLUMN}
        table = Table(box=None)
        for heading in columns:
            table.add_column(heading, justify="left" if heading in ("model", "index") else "right")
        for row in rows:
            values = (row[key] for key in columns.values())
            table.add_row(*("" if value is None else str(value) for value in values))
        Console(width=max(130, Console().width)).print(table)
        for row in rows:
            _print_reads(row["model"], row["reads"])
        if not models:
            _print_reads("several collections", reads(counts.get(MULTI_COLLECTION_READS, {})))
        for row in rows:
            for line in row["untracked"]:
                click.echo(f"{row['model']} is read from the primary, untracked: {line}")
        if any(row["untracked"] for row in rows):
            click.echo(f"changes can't be followed: {UNTRACKED_CURE}")
    if not all(map(_is_healthy, rows)):
        sys.exit(EXIT_PROBLEM)


@click.command("mapping")
@common
def mapping_command(ini: str, variables: tuple[str, ...], models: str, as_json: bool) -> None:
    """Show the mappings of the models, and where the indices differ from them."""
    with application(ini, variables, alone=True) as runtime:
        mappings: dict[str, Any] = {}
        for mirror in mirrors_named(runtime, models):
            current = runtime.mirrors.backend.get_mapping(mirror.alias)
            lines = ["not built"] if current is None else mapping_diff(mirror.mapping, current)
            mappings[mirror.name] = {"mapping": mirror.mapping, "difference": lines}
    if as_json:
        click.echo(json.dumps(mappings, indent=2))
    else:
        for name, entry in mappings.items():
            click.echo(f"{name}: {json.dumps(entry['mapping'], indent=2)}")
            for line in entry["difference"] or ["the index agrees"]:
                click.echo(f"{name}: {line}")
    if any(entry["difference"] for entry in mappings.values()):
        sys.exit(EXIT_PROBLEM)


@click.command("explain")
@common
def explain_command(ini: str, variables: tuple[str, ...], models: str, as_json: bool) -> None:
    """Show of each field what the mirror answers in place of the primary, and why not more.

    A read that shows, filters or sorts by a field in another way is answered by the primary.
    """
    with application(ini, variables) as runtime:
        proofs = {
            mirror.name: {
                name: runtime.searcher.semantics[mirror.name].proof(name)
                for name in mirror.document_cls.fields()
            }
            for mirror in mirrors_named(runtime, models)
        }
    if as_json:
        rows = {
            model: {name: _as_json(proof) for name, proof in fields.items()}
            for model, fields in proofs.items()
        }
        click.echo(json.dumps(rows, indent=2))
        return
    for model, fields in proofs.items():
        for name, proof in fields.items():
            click.echo(f"{model}.{name}: {_in_words(proof)}")


def _percent(rate: Optional[float]) -> Optional[float]:
    return None if rate is None else round(100 * rate, 1)


def _print_reads(name: str, numbers: dict[str, int]) -> None:
    """Print one line: the share of reads that the mirror answered, then the others by frequency."""
    total = sum(numbers.values())
    if not total:
        return
    share = _percent(numbers.get("mirror", 0) / total)
    others = [f"{number} {engine}" for engine, number in numbers.items() if engine != "mirror"]
    words = f", the others: {', '.join(others)}" if others else ""
    click.echo(f"{name}: {share}% of {total} reads answered by the mirror{words}")


def _is_healthy(row: dict[str, Any]) -> bool:
    late = row["lag_seconds"] > MAX_LAG_SECONDS
    return row["state"] == "ready" and not late and not row["dead_letters"]


def _status(mirror: Mirror, runtime: SearchRuntime, backlog: Backlog) -> dict[str, Any]:
    live = [
        name
        for name, aliases in runtime.mirrors.indices_of(mirror).items()
        if mirror.alias in aliases
    ]
    documents = rejected = None
    mirror.check()
    state = str(mirror.problem or "ready")
    if live:
        mirror.backend.refresh(mirror.alias)
        stubs = {"query": STUBS, "size": 0, "track_total_hits": True}
        all_documents = {"size": 0, "track_total_hits": True}
        rejected = mirror.backend.search(mirror.alias, stubs)["hits"]["total"]["value"]
        total = mirror.backend.search(mirror.alias, all_documents)["hits"]["total"]["value"]
        documents = total - rejected
    rows = mirror.reader.count()
    hook = mirror.hook()
    if state == "ready" and (rejected or documents != rows):
        state = "rejected" if rejected else "incomplete"
    return {
        "model": mirror.name,
        "index": live[0] if live else None,
        "documents": documents,
        "rows": rows,
        "rejected": rejected,
        "pending": backlog.rows,
        "lag_seconds": round(backlog.age_seconds, 1),
        "state": state,
        "untracked": mirror.untracked,
        "hook": None if hook is None else f"{hook.reason}: {hook.name}",
    }


def _as_json(proof: FieldProof) -> dict[str, Any]:
    """Return what is proven as true, and what is not as the reason in words."""
    return {
        "shown": _claim(proof.rendering),
        "filtered": _claim(proof.equality),
        "parameters": proof.parameters or None,
        "null": _claim(proof.nulls),
        "sorted": _claim(proof.order),
    }


def _claim(doubt: Optional[Doubt]) -> Union[bool, str]:
    return True if doubt is None else doubt.words


def _in_words(proof: FieldProof) -> str:
    """Return one line: what the mirror answers, then what the primary answers and why."""
    by_words: dict[str, list[str]] = {}
    proven = []
    for claim, doubt in (
        ("shown", proof.rendering),
        (f"filtered by {proof.parameters}", proof.equality),
        ("sorted", proof.order),
    ):
        if doubt is None:
            proven.append(claim)
        else:
            by_words.setdefault(doubt.words, []).append(claim.split()[0])
    parts = [", ".join(proven)] if proven else []
    for words, claims in by_words.items():
        parts.append(f"by the primary {' and '.join(claims)}, because {words}")
    return "; ".join(parts)
