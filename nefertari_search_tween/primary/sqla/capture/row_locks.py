"""Locks that keep the result of a query true until the change that it is for.

What a change affects besides its own row is queried before it: what references the object, where a
foreign key pointed. Between that query and the change another transaction could commit, and what
it made would be affected, too, without being recorded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nefertari_search_tween.chunks import chunks
from nefertari_search_tween.primary.sqla import schema
from nefertari_search_tween.primary.sqla.plain_query import plain_query
from nefertari_search_tween.primary.sqla.reader import KEYS_PER_QUERY


def lock(session: Any, model: Any, pks: Iterable[Any]) -> None:
    """Lock the rows *pks* of *model*, which the transaction is about to change, until its end.

    It waits for transactions that refer to one of them and have not ended.
    """
    keys = sorted(pks, key=str)
    if not keys or begun_on_sqlite(session, model):
        return
    pk = schema.pk_attribute(model)
    with session.no_autoflush:
        for part in chunks(keys, KEYS_PER_QUERY):
            rows = plain_query(session, pk).filter(pk.in_(part))
            rows.order_by(pk).with_for_update().all()


def begun_on_sqlite(session: Any, model: Any) -> bool:
    """On SQLite, become the one writer now, not at the first change; elsewhere return False."""
    connection = session.connection(mapper=schema.mapper_of(model))
    if connection.dialect.name != "sqlite":
        return False
    if not connection.connection.in_transaction:
        connection.execute("BEGIN IMMEDIATE")
    return True
