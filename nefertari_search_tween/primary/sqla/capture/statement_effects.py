"""What one statement affects: looked up before it is executed, and completed after it."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

from sqlalchemy import and_, or_, select
from sqlalchemy import types as sqltypes

from nefertari_search_tween.chunks import chunks
from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.primary.sqla.capture.row_locks import become_writer
from nefertari_search_tween.primary.sqla.capture.rows import (
    AffectedDocuments,
    Row,
    as_rows,
    condition_of,
    rows_of,
    stored_rows,
)
from nefertari_search_tween.primary.sqla.capture.statements import UNKNOWN, Statement
from nefertari_search_tween.primary.sqla.dependencies.dependencies import Dependencies
from nefertari_search_tween.primary.sqla.dependencies.tables import (
    Identity,
    WatchedTable,
    column_of,
)
from nefertari_search_tween.primary.sqla.plain_query import KEYS_PER_QUERY

# A statement is restricted to up to so many rows: a longer list costs more than it saves.
MAX_KEYS = 10_000
# Types whose values the database finds again as they were inserted.
_COMPARABLE = (sqltypes.String, sqltypes.Integer, sqltypes.Boolean, sqltypes.Date)


class RunningStatement(NamedTuple):
    """A statement between its two events.

    :param transaction: begun for it, because its connection had none.
    :param closes: its connection is closed with its result.
    """

    statement: Statement
    watched: WatchedTable
    session: Any
    affected: AffectedDocuments
    transaction: Any
    closes: bool


def look_up_before(connection: Any, element: Any, running: RunningStatement) -> Any:
    """Look up what the statement *element* affects before it; return what to execute: the same, or
    restricted to the rows that were found."""
    statement, watched, affected = running.statement, running.watched, running.affected
    if statement.inserts:
        return element
    identities = statement.identities(watched)
    names: set[str] = set()
    values: list[Optional[Row]] = [{}]
    if statement.updates:
        values = [statement.set_values(each) for each in statement.params]
        if any(each is None for each in values):
            affected.owners |= _whole_models_of(affected.dependencies, statement.element)
            return element
        names = {name for each in values for name in each or ()} | watched.self_changing
        alone = names.isdisjoint(watched.deciding)
    else:
        alone = not (watched.lookups or watched.cascades)
    if identities is not None and alone:
        # Only the rows' own documents change.
        for identity in identities:
            affected.add_row(watched, dict(zip(watched.identity, identity)))
        return element
    become_writer(connection)
    rows, new = _changing_rows(connection, running, identities, values)
    if statement.updates:
        affected.updated(connection, watched, rows, new)
    else:
        affected.deleted(connection, watched, rows)
    restricts = connection.dialect.name != "sqlite" and not statement.compiled
    if identities is not None or not (restricts and watched.has_key) or len(rows) > MAX_KEYS:
        return element
    # Without the rows that others have inserted since: the statement would change them without a
    # record.
    return element.where(condition_of(watched, rows) if rows else or_(False))


def _changing_rows(
    connection: Any,
    running: RunningStatement,
    identities: Optional[list[Identity]],
    values: list[Optional[Row]],
) -> tuple[list[Row], list[Row]]:
    """Return the stored rows that the statement is about to change, and what each gets.

    :param values: for each set of parameters, or one for all.
    """
    statement, watched = running.statement, running.watched
    generated = dict.fromkeys(watched.self_changing, UNKNOWN)
    sets = [{**generated, **(each or {})} for each in values]
    sets *= len(statement.params) // len(sets)
    rows: list[Row] = []
    new: list[Row] = []
    if identities is None:
        for params, each in zip(statement.params, sets):
            condition = statement.element._whereclause
            part = stored_rows(connection, watched, condition, params, True)
            rows += part
            new += [each] * len(part)
        return rows, new
    rows = rows_of(connection, watched, list(dict.fromkeys(identities)), True)
    if len(sets) == 1:
        return rows, sets * len(rows)
    by_identity = dict(zip(identities, sets))
    # A key that is equal to the database, but not to Python: what it gets is not known.
    unknown = dict.fromkeys((name for each in sets for name in each), UNKNOWN)
    for row in rows:
        new.append(by_identity.get(tuple(row[name] for name in watched.identity), unknown))
    return rows, new


def _whole_models_of(dependencies: Dependencies, element: Any) -> set[Key]:
    """Return whole-model keys for the tables that the UPDATE *element* may change."""
    tables = {element.table, *(getattr(key, "table", None) for key in element.parameters or ())}
    return {
        key
        for table in tables
        if table in dependencies.tables
        for key in dependencies.whole_models(dependencies.tables[table])
    }


def note_inserted(connection: Any, running: RunningStatement, context: Any) -> None:
    """Note what the rows of an INSERT affect that was executed.

    :param context: of its execution.
    """
    statement, watched, affected = running.statement, running.watched, running.affected
    if not statement.inserts_plainly:
        affected.owners |= affected.dependencies.whole_models(watched)
        return
    rows = statement.inserted_values(context, watched.columns)
    if any(_is_unknown(watched, row) for row in rows):
        values = statement.inserted_values(context, watched.table.c)
        unknown = [row for row in values if _is_unknown(watched, row)]
        stored = _rows_like(connection, watched, unknown)
        if stored is None:
            affected.owners |= affected.dependencies.whole_models(watched)
            return
        rows = [row for row in rows if not _is_unknown(watched, row)] + stored
    for row in rows:
        affected.inserted(connection, watched, row)


def _is_unknown(watched: WatchedTable, row: Row) -> bool:
    return any(row[name] is UNKNOWN for name in watched.identity)


def _rows_like(connection: Any, watched: WatchedTable, rows: list[Row]) -> Optional[list[Row]]:
    """Return the stored rows with the inserted values, among which are the inserted ones; None if
    the values do not tell."""
    names = [
        column.name
        for column in watched.table.c
        if isinstance(column.type, _COMPARABLE)
        and all(row[column.name] is not UNKNOWN for row in rows)
    ]
    if all(row[name] is None for row in rows for name in names):
        return None
    columns = [column_of(watched.table, name) for name in names]
    stored: list[Row] = []
    distinct = {tuple(row[name] for name in names) for row in rows}
    for part in chunks(distinct, max(1, KEYS_PER_QUERY // len(names))):
        same = or_(*(and_(*(c == v for c, v in zip(columns, each))) for each in part))
        stored += as_rows(watched.columns, connection.execute(select(watched.columns).where(same)))
    return stored
