"""What a change of a row of one table affects: the same for sessions, statements and triggers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Callable, Optional

from sqlalchemy import and_, bindparam, or_, select

from nefertari_search_tween.chunks import chunks
from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.primary.sqla import schema
from nefertari_search_tween.primary.sqla.dependencies.relationships import (
    KEYS,
    Dependency,
    Join,
    Part,
    column_of,
    compiled_once,
    stored_key,
)
from nefertari_search_tween.primary.sqla.plain_query import KEYS_PER_QUERY

Identity = tuple[Any, ...]

# What the database does with a row that refers to one that is deleted, or gets another key.
ACTIONS = {"CASCADE", "SET NULL", "SET DEFAULT"}


class Lookup:
    """How to find, from a row of a table, the documents that list something because of it.

    :ivar columns: the columns of the row that decide.
    :ivar direct: the column that holds the document's key; None if only a query can tell.
    :ivar refers: a foreign key forbids a document to list a row that does not exist yet.
    """

    def __init__(self, edge: Dependency, part: Part, table: Any) -> None:
        self.edge = edge
        self.part = part
        self.table = table
        self.columns = frozenset(edge.columns[part, table])
        self.direct = edge.direct_key(part, table)
        self.refers = part is Part.TARGET and edge.refers_to(table)
        self._owners_of_keys: Any = None

    def key(self, value: Any) -> Key:
        """Return the document whose key is *value*, as the column `direct` has it."""
        return Key(self.edge.owner.__name__, stored_key(self.edge.owner, value))

    def query(self, row: Callable[[Any], Any]) -> tuple[Any, list[Any], list[Any]]:
        """Return the key of the owners that the *row* joins, the other tables, the conditions.

        :param row: returns the expression for a column of the row.
        """
        join = Join(self.edge, self.part, self.table, row)
        key = join.owner_key()
        conditions = join.conditions()
        return key, join.aliases, conditions

    def owners(self, connection: Any, identity: list[str], rows: Iterable[Identity]) -> set[Key]:
        """Return the owners that the stored rows with these identities join."""
        row = self.table.alias("row_0")
        if self.direct is not None:
            key: Any = column_of(row, self.direct)
            conditions: list[Any] = []
        else:
            key, _, conditions = self.query(lambda column: column_of(row, column.name))
        columns = [column_of(row, name) for name in identity]
        owners: set[Key] = set()
        if len(columns) == 1 and self._owners_of_keys is None:
            among = columns[0].in_(bindparam(KEYS, expanding=True, type_=columns[0].type))
            self._owners_of_keys = select([key]).where(and_(*conditions, among))
        for part in chunks(rows, KEYS_PER_QUERY // len(columns)):
            if len(columns) == 1:
                values = {KEYS: [value for (value,) in part]}
                result = compiled_once(connection).execute(self._owners_of_keys, values)
            else:
                query = select([key]).where(and_(*conditions, among_rows(columns, part)))
                result = connection.execute(query)
            owners.update(self.key(value) for (value,) in result if value is not None)
        return owners


class Cascade:
    """A foreign key with a rule by which the database changes rows of its table by itself.

    :ivar columns: pairs (name in the referring table, name in the table referred to).
    """

    def __init__(self, constraint: Any) -> None:
        self.table = constraint.table
        self.referred = constraint.elements[0].column.table
        self.columns = [(each.parent.name, each.column.name) for each in constraint.elements]
        self.on_delete = _rule(constraint.ondelete)
        self.on_update = _rule(constraint.onupdate)


class WatchedTable:
    """A table whose rows documents depend on, directly or by what the database does itself.

    :ivar identity: the columns that identify a row: the primary key, or all.
    :ivar models: (name, model, column): those whose objects its rows are (a part of).
    :ivar lookups: other documents that its rows are listed by.
    :ivar cascades: what the database changes with its rows.
    """

    def __init__(self, table: Any) -> None:
        self.table = table
        key = [column.name for column in table.primary_key]
        self.identity = key or [column.name for column in table.c]
        self.has_key = bool(key)
        self.models: list[tuple[str, Any, str]] = []
        self.lookups: list[Lookup] = []
        self.cascades: list[Cascade] = []

    @property
    def listed(self) -> list[Lookup]:
        """The documents that list objects of the table."""
        return [each for each in self.lookups if each.part is Part.TARGET]

    @property
    def linked(self) -> list[Lookup]:
        """The documents that a row of the table links to others."""
        return [each for each in self.lookups if each.part is Part.LINK]

    def complete(self) -> None:
        """Note which columns matter, once the lists are filled."""
        referred = {to for each in self.cascades for _, to in each.columns}
        deciding = set(self.identity) if self.models else set()
        for lookup in self.lookups:
            deciding |= lookup.columns
        #: a change of these affects more than the contents of the row's own document
        self.deciding = frozenset(deciding | referred)
        direct = {each.direct for each in self.lookups if each.direct is not None}
        own = {column for _, _, column in self.models}
        #: what has to be known of a row
        self.columns = [
            column
            for column in self.table.c
            if column.name in {*self.identity, *direct, *own, *referred}
        ]
        #: set by an UPDATE that does not name them, too
        self.self_changing = frozenset(
            column.name
            for column in self.table.c
            if column.name in self.deciding
            and (
                column.onupdate is not None
                or column.server_onupdate is not None
                or getattr(column, "computed", None) is not None
            )
        )


def among_rows(columns: list[Any], rows: Iterable[Identity]) -> Any:
    """Return the condition that *columns* have the values of one of *rows*."""
    if len(columns) == 1:
        return columns[0].in_([value for (value,) in rows])
    return or_(*(and_(*(c == value for c, value in zip(columns, row))) for row in rows))


def _rule(text: Optional[str]) -> Optional[str]:
    rule = " ".join((text or "").upper().split())
    return rule if rule in ACTIONS else None


def watched_tables(models: Iterable[Any], edges: Iterable[Dependency]) -> dict[Any, WatchedTable]:
    """Return the tables by which documents may change.

    :param models: whose objects documents are made of.
    :param edges: the relationships that they show.
    """
    tables: dict[Any, WatchedTable] = {}

    def of(table: Any) -> WatchedTable:
        return tables.setdefault(table, WatchedTable(table))

    for model in sorted(models, key=lambda each: str(each.__name__)):
        mapper = schema.mapper_of(model)
        for table in dict.fromkeys(t for m in mapper.self_and_descendants for t in m.tables):
            key = mapper.primary_key[0]
            name = key.name if key.table is table else next(iter(table.primary_key)).name
            of(table).models.append((model.__name__, model, name))
    for edge in edges:
        for part, table in edge.tables():
            of(table).lookups.append(Lookup(edge, part, table))
    _add_cascades(tables)
    for each in tables.values():
        each.complete()
    return tables


def _add_cascades(tables: dict[Any, WatchedTable]) -> None:
    """Add the foreign keys by which a change of a row leads to one of *tables*, and the tables on
    the way: of all tables, with or without a relationship or a model."""
    cascades = [
        Cascade(constraint)
        for metadata in {id(table.metadata): table.metadata for table in tables}.values()
        for _, table in sorted(metadata.tables.items())
        for constraint in sorted(table.foreign_key_constraints, key=lambda c: c.column_keys)
        if _rule(constraint.ondelete) or _rule(constraint.onupdate)
    ]
    added = True
    while added:
        added = False
        for each in cascades:
            if each.table in tables:
                watched = tables.get(each.referred)
                if watched is None:
                    watched = tables[each.referred] = WatchedTable(each.referred)
                if each not in watched.cascades:
                    watched.cascades.append(each)
                    added = True
