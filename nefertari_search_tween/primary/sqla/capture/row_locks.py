"""Locks that keep the result of a query true until the change that it is for.

What a change affects besides its own row is queried before it: what references the object, where a
foreign key pointed. Between that query and the change another transaction could commit, and what
it made would be affected, too, without being recorded. So the rows are queried FOR UPDATE
(rows.py), which waits for transactions that refer to one of them and have not ended.
"""

from __future__ import annotations

from typing import Any


def become_writer(connection: Any) -> None:
    """On SQLite, become the one writer now, not at the first change; elsewhere do nothing."""
    if connection.dialect.name == "sqlite" and not connection.connection.in_transaction:
        connection.execute("BEGIN IMMEDIATE")
