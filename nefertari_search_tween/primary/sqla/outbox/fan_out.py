"""Rows that represent more than one document become a row for each, when they are claimed.

A trigger knows which object changed, not which documents depend on it. Those are looked up at the
claim, when the change is committed, and by the database itself: an object that a million documents
embed becomes a million rows without one of them passing through this process. At the claim rather
than in the trigger also because a document that another transaction was making at the moment would
not be visible there: it would be indexed with the old contents, unnoticed.

A document that begins or ceases to depend on the object around that moment has a row for that
change.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Text, and_, bindparam, cast, func, literal, select, union_all
from sqlalchemy import types as sqltypes

from nefertari_search_tween.chunks import chunks
from nefertari_search_tween.interfaces.outbox import FanOut
from nefertari_search_tween.interfaces.primary import Key, keys_by_model
from nefertari_search_tween.primary.sqla import schema
from nefertari_search_tween.primary.sqla.dependencies.dependencies import Dependencies
from nefertari_search_tween.primary.sqla.dependencies.relationships import (
    KEYS,
    Dependency,
    compiled_once,
)
from nefertari_search_tween.primary.sqla.outbox.tables import OUTBOX
from nefertari_search_tween.primary.sqla.plain_query import KEYS_PER_QUERY

# From the changed object upwards: the owner of each dependency is the next one's target.
Path = tuple[Dependency, ...]


class FanOutPlan:
    """Knows, for each tracked model, the documents that a change of its objects affects.

    :param dependencies: between the mirrored models.
    """

    def __init__(self, dependencies: Dependencies) -> None:
        self.dependencies = dependencies
        self.models = dependencies.models
        self._mirrored = dependencies.mirrored
        self._paths = {
            (name, referencing): self._find_paths(model, referencing)
            for name, model in self.models.items()
            for referencing in (False, True)
        }
        self._embedding_queries: dict[tuple[str, str], Any] = {}

    def _find_paths(self, model: Any, referencing: bool) -> list[Path]:
        """Return the paths by which documents depend on an object of *model*.

        :param referencing: also those that list its key only; else they hold its contents, or list
            its key in an order that may depend on them.
        """
        deepest = max(map(self.dependencies.depth, self._mirrored.values()), default=0)
        complete = []
        frontier: list[Path] = [
            (edge,)
            for edge in self.dependencies.edges_to.get(model, ())
            if referencing or edge.holds_contents
        ]
        for length in range(1, deepest + 2):
            # A key is listed by a document that is nested one level less deep than its object.
            complete += [
                path
                for path in frontier
                if path[-1].owner in self.dependencies.mirrored_models
                and length - (referencing or path[0].follows_contents)
                <= self.dependencies.depth(path[-1].owner)
            ]
            frontier = [
                (*path, edge)
                for path in frontier
                for edge in self.dependencies.edges_to.get(path[-1].owner, ())
                if edge.nested
            ]
        return complete

    def reached(self, name: str) -> set[str]:
        """Return the models whose documents may depend on objects of the model *name*."""
        return {path[-1].owner.__name__ for path in self._paths[name, True]}

    def embedded(self, name: str) -> bool:
        """Return True if documents may hold the contents of objects of the model *name*."""
        return bool(self._paths.get((name, False)))

    def embedding(self, connection: Any, keys: Iterable[Key]) -> set[Key]:
        """Return the documents that hold the contents of *keys*, as the database has it now."""
        documents: set[Key] = set()
        cached = compiled_once(connection)
        for name, pks in keys_by_model(keys).items():
            paths = self._paths[name, False]
            if not paths:
                continue
            query = self._embedding_query(name, connection.dialect.name)
            for part in chunks(pks, max(1, KEYS_PER_QUERY // len(paths))):
                documents.update(
                    Key(owner, schema.parse_key(self.models[owner], text))
                    for owner, text, *_ in cached.execute(query, {KEYS: part})
                )
        return documents

    def _embedding_query(self, name: str, dialect: str) -> Any:
        """Return the query of the documents that hold the contents of objects of the model *name*,
        made once: it is asked at every commit that changes one."""
        query = self._embedding_queries.get((name, dialect))
        if query is None:
            paths = self._paths[name, False]
            pks = bindparam(KEYS, expanding=True, type_=paths[0][0].target_key.type)
            query = union_all(*(_documents(path, pks, 0, dialect) for path in paths))
            self._embedding_queries[name, dialect] = query
        return query

    def expand(self, connection: Any, name: str, rows: Iterable[Any], now: int) -> None:
        """Insert rows for the documents that *rows* represent besides their own.

        In the transaction that marks or deletes *rows*: it happens once, or not at all.

        :param rows: rows of the model *name* (``id``, ``pk``, ``fan_out``).
        :param now: milliseconds since 1970.
        """
        model = self.models[name]
        pks: dict[bool, set[Any]] = {False: set(), True: set()}
        whole_model = False
        for row in rows:
            if row.fan_out and row.pk is None:
                whole_model = True
            elif row.fan_out:
                pks[row.fan_out == FanOut.REFERENCING].add(schema.parse_key(model, row.pk))
        for referencing, keys in pks.items():
            for path in self._paths[name, referencing]:
                self._insert(connection, path, sorted(keys, key=str), now)
        if whole_model:
            # Which documents depended on what was deleted is not known: all of them are indexed.
            reached = sorted(self.reached(name) - {name})
            values = [
                {"model": each, "pk": None, "fan_out": 0, "recorded_at": now} for each in reached
            ]
            if values:
                connection.execute(OUTBOX.insert(), values)

    def mark_expanded(self, connection: Any, name: str, rows: list[Any]) -> None:
        """Let *rows*, which were expanded, represent their own documents only, if they have any."""
        for part in chunks(rows, KEYS_PER_QUERY):
            among = OUTBOX.c.id.in_([row.id for row in part])
            if name in self._mirrored:
                connection.execute(OUTBOX.update().where(among).values(fan_out=0))
            else:
                connection.execute(OUTBOX.delete().where(among))

    def _insert(self, connection: Any, path: Path, pks: list[Any], now: int) -> None:
        for part in chunks(pks, KEYS_PER_QUERY):
            query = _documents(path, part, now, connection.dialect.name)
            _insert_from(connection, query)

    def enqueue_model(self, connection: Any, name: str, now: int) -> None:
        """Insert a row for each object of the mirrored model *name*, and for each document that is
        being written at the moment."""
        model = self.models[name]
        pk = schema.mapper_of(model).primary_key[0]
        key = key_text(pk, model, connection.dialect.name)
        _insert_from(connection, select([literal(name), key, literal(0), literal(now)]))
        writing = (
            select([OUTBOX.c.model, OUTBOX.c.pk, literal(0), literal(now)])
            .where(
                and_(
                    OUTBOX.c.model == name,
                    OUTBOX.c.claim_token.isnot(None),
                    OUTBOX.c.pk.isnot(None),
                )
            )
            .distinct()
        )
        _insert_from(connection, writing)


def _insert_from(connection: Any, query: Any) -> None:
    columns = ["model", "pk", "fan_out", "recorded_at"]
    connection.execute(OUTBOX.insert().from_select(columns, query))


def _documents(path: Path, pks: Any, now: int, dialect: str) -> Any:
    """Return a query of outbox rows: the documents at the end of *path* from the objects *pks*.

    :param pks: a list, or a parameter.
    """
    owners: Any = pks
    for edge in path:
        owners = edge.owner_keys(owners)
    model = path[-1].owner
    pk = schema.mapper_of(model).primary_key[0]
    key = key_text(pk, model, dialect)
    columns = [literal(model.__name__), key, literal(0), literal(now)]
    return select(columns).where(pk.in_(owners))


def key_text(attribute: Any, model: Any, dialect: str) -> Any:
    """Return SQL for ``str(pk)``."""
    column_type = schema.mapper_of(model).primary_key[0].type
    if dialect == "postgresql" and isinstance(column_type, sqltypes.CHAR):
        # A cast would cut off the spaces that Python is given.
        return func.concat(attribute)
    return cast(attribute, Text)
