"""Queries of this package itself: without the application's hooks on queries.

A hook of the application (``Query.before_compile``, ``query_cls``) may narrow each query to what
the current request may see. Documents, and the record of what a change affects, are for all
requests; so are the statements that are compiled once.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Query

# Old versions of SQLite allow 999 variables in a statement.
KEYS_PER_QUERY = 500


class _NoListeners:
    before_compile = before_compile_update = before_compile_delete = ()


class PlainQuery(Query):
    """A query that no event listener changes, as ``query_cls`` of a session or by itself."""

    dispatch = _NoListeners()


def plain_query(session: Any, *entities: Any) -> PlainQuery:
    """Return a query of *entities* in any *session*, the application's own included."""
    return PlainQuery(entities, session)


def connection_of(session: Any, mapper: Any) -> Any:
    """Return the connection on which *session* writes rows of *mapper*.

    ``session.connection`` begins the savepoint first that ``begin_nested`` only announces. The
    record of a statement that the application executed on the connection itself, before it, would
    be within a savepoint that the statement is not in, and could be rolled back alone.
    """
    bind = session.get_bind(mapper)
    transaction = session.transaction
    while transaction is not None:
        begun = transaction._connections.get(bind)
        if begun is not None:
            return begun[0]
        transaction = transaction._parent
    return session.connection(mapper=mapper)
