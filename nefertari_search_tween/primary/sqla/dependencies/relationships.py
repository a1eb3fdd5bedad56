"""One relationship: the rows that its lists are a function of, and the query that leads from such a
row to the documents.

A list of an owner is made of the rows of a join: the owner's tables, perhaps an association table,
the target's tables. With all other rows as they are, a row takes part in an owner's list only if
the join's condition holds for both. So a change of a row changes the lists of the owners that it is
joined with before the change, and of those that it is joined with after it, and no others: one
query, asked twice. Nothing else has to be known about the form of the relationship.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from functools import partial
from typing import Any, Callable, Optional

from sqlalchemy import Table, and_, bindparam, select
from sqlalchemy.sql import visitors
from sqlalchemy.util import LRUCache

from nefertari_search_tween.chunks import chunks
from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.primary.sqla import schema
from nefertari_search_tween.primary.sqla.dependencies.conditions import (
    columns_of,
    conjuncts,
    equated,
    foreign_part,
    is_adaptable,
)
from nefertari_search_tween.primary.sqla.plain_query import KEYS_PER_QUERY

# Making and compiling a statement takes longer than the database does for a few rows.
_COMPILED: Any = LRUCache(1000)
KEYS = "keys"


class Part(Enum):
    """What a table is in the join of a relationship."""

    OWNER = "owner"
    LINK = "link"
    TARGET = "target"


PartOf = Callable[[Any], Optional[Part]]


class Dependency:
    """The relationship *prop* of the model *owner*: its documents depend on the target.

    :ivar reason: why its lists are not known to be a function of the join's rows; None if they are.
    :ivar columns: for each part and table, the columns that decide who is on a list, and where.
    :ivar follows_contents: who is on a list, or where, depends on more than the keys of both ends.
    """

    def __init__(self, owner: Any, prop: Any) -> None:
        self.owner = owner
        self.prop = prop
        self.target = prop.mapper.class_
        self.nested = prop.key in getattr(owner, "_nested_relationships", ())
        self.columns: dict[tuple[Part, Any], set[str]] = {}
        self._owner_tables = list(schema.mapper_of(owner).tables)
        self._target_tables = list(prop.mapper.tables)
        self._conditions: list[tuple[Any, PartOf]] = []
        unknown = self._unknown()
        self.reason = unknown or self._analyse()
        self.joinable = unknown is None and self._is_joinable()
        self._order = list(prop.order_by or ())
        self._owners_of_keys: Any = None
        self.follows_contents = bool(prop.order_by) or not self._joined_by_keys()

    @property
    def holds_contents(self) -> bool:
        """Return True if a change of a target's contents may change a document."""
        return self.nested or self.follows_contents

    @property
    def owner_key(self) -> Any:
        return schema.mapper_of(self.owner).primary_key[0]

    @property
    def target_key(self) -> Any:
        return self.prop.mapper.primary_key[0]

    def tables(self) -> Iterator[tuple[Part, Any]]:
        """Yield the tables whose rows change the lists of other objects, and their parts."""
        if self.joinable:
            yield from (each for each in self.columns if each[0] is not Part.OWNER)

    # What it depends on

    def _unknown(self) -> Optional[str]:
        """Return why the tables of the join are not known, None if they are."""
        prop, mapper = self.prop, self.prop.mapper
        for each in (mapper, schema.mapper_of(self.owner)):
            name = each.class_.__name__
            if len(each.primary_key) != 1:
                return f"{name} has a composite primary key"
            if any(m.concrete or m.non_primary for m in each.self_and_descendants):
                return f"{name} is mapped to more than its own tables"
            if not all(isinstance(m.local_table, Table) for m in each.iterate_to_root()):
                return f"{name} is mapped to a query"
        if prop.secondary is not None and not isinstance(prop.secondary, Table):
            return "it goes through what is no table"
        if prop.secondary is not None and prop.secondary in {
            *self._owner_tables,
            *self._target_tables,
        }:
            return "it goes through the table of one of its ends"
        return None

    def _analyse(self) -> Optional[str]:
        """Find the columns, and return what depends on more than them."""
        prop = self.prop
        reason = None
        for table in self._target_tables:
            names = {column.name for column in table.primary_key}
            self.columns[Part.TARGET, table] = names
        clauses: list[tuple[Any, PartOf]] = [(prop.primaryjoin, self._part_in_primaryjoin)]
        if prop.secondary is not None:
            self.columns[Part.LINK, prop.secondary] = set()
            clauses.append((prop.secondaryjoin, self._part_in_secondaryjoin))
        self._conditions = list(clauses)
        extra = [*(prop.order_by or ())]
        if prop.mapper._single_table_criterion is not None:
            extra.append(prop.mapper._single_table_criterion)
        clauses += [(clause, self._part_in_secondaryjoin) for clause in extra]
        for clause, part_of in clauses:
            reason = reason or foreign_part(clause)
            for column in columns_of(clause):
                part = part_of(column)
                if part is None:
                    reason = reason or f"the table {column.table.name}"
                else:
                    self.columns.setdefault((part, column.table), set()).add(column.name)
        return reason and f"it depends on {reason}"

    def _is_joinable(self) -> bool:
        """Return True if the condition can be asked for a row, whether or not it decides alone."""
        return all(
            is_adaptable(clause) and None not in map(part_of, columns_of(clause))
            for clause, part_of in self._conditions
        )

    def _part_in_primaryjoin(self, column: Any) -> Optional[Part]:
        table = column.table
        if table is self.prop.secondary:
            return Part.LINK
        # SQLAlchemy marks the columns of the other end, which tells apart the two ends of a
        # relationship of a model to itself.
        if table in self._target_tables and "remote" in column._annotations:
            return Part.TARGET
        if table in self._owner_tables:
            return Part.OWNER
        return Part.TARGET if table in self._target_tables else None

    def _part_in_secondaryjoin(self, column: Any) -> Optional[Part]:
        table = column.table
        if table is self.prop.secondary:
            return Part.LINK
        if table in self._target_tables:
            return Part.TARGET
        return Part.OWNER if table in self._owner_tables else None

    def _joined_by_keys(self) -> bool:
        """Return True if the join compares columns with the keys of both ends, and no others."""
        for clause, _ in self._conditions:
            for each in conjuncts(clause):
                pair = equated(each)
                if pair is None or not any(
                    _same(column, key)
                    for column in pair
                    for key in (self.owner_key, self.target_key)
                ):
                    return False
        return bool(self._conditions) and self.prop.mapper._single_table_criterion is None

    def direct_key(self, part: Part, table: Any) -> Optional[str]:
        """Return the column of *table* that holds the owner's key; None if there is none."""
        for clause, part_of in self._conditions:
            for each in conjuncts(clause):
                pair = equated(each)
                for row, owner in (pair, pair[::-1]) if pair else ():
                    if (
                        (part_of(row), row.table) == (part, table)
                        and part_of(owner) is Part.OWNER
                        and _same(owner, self.owner_key)
                        # Under a collation one key may be written in several ways.
                        and not getattr(row.type, "collation", None)
                    ):
                        return str(row.name)
        return None

    def refers_to(self, table: Any) -> bool:
        """Return True if the join compares a column with the one in the target's *table* that it
        refers to by a foreign key: where that is checked, a new row is on no list yet."""
        for clause, part_of in self._conditions:
            for each in conjuncts(clause):
                pair = equated(each)
                for target, other in (pair, pair[::-1]) if pair else ():
                    if (part_of(target), target.table) == (Part.TARGET, table) and any(
                        _same(key.column, target) and not key.deferrable
                        for key in column_of(other.table, other.name).foreign_keys
                        if len(key.constraint.elements) == 1
                    ):
                        return True
        return False

    def conditions_of(self, part: Optional[Part]) -> list[tuple[Any, PartOf]]:
        """Return the conditions that join a row of *part* with owners, with what names their parts.

        Those of a link do without the target, where they can: when the database deletes links with
        it, the target is gone by then. The others do without the owner, where links have its key.
        """
        primary = self._conditions[0]
        if part is Part.LINK:
            parts = {primary[1](each) for each in columns_of(primary[0])}
            return self._conditions if Part.TARGET in parts else [primary]
        return self._conditions if self.link_key is None else self._conditions[1:]

    @property
    def link_key(self) -> Optional[Any]:
        """The column of the association table by which alone links are joined with owners; None if
        there is none."""
        link = self.prop.secondary
        if link is None or len(list(conjuncts(self._conditions[0][0]))) != 1:
            return None
        name = self.direct_key(Part.LINK, link)
        return None if name is None else column_of(link, name)

    # Queries

    def owner_keys(self, targets: Any) -> Any:
        """Return a query for the keys of the owners that list one of *targets* now.

        :param targets: what the target's key is IN: values, a parameter, or a query.
        """
        join = Join(self)
        target = join.column(Part.TARGET, self.target_key)
        return select([join.owner_key()]).where(and_(*join.conditions(), target.in_(targets)))

    def key_pairs(self, owners: Any) -> Any:
        """Return a query for pairs (key of an owner, key of a target), in the list's order.

        :param owners: what the owner's key is IN.
        """
        join = Join(self)
        owner, target = join.owner_key(), join.column(Part.TARGET, self.target_key)
        conditions = join.conditions()
        order = [join.replaced(each, self._part_in_secondaryjoin) for each in self._order]
        query = select([owner, target]).where(and_(*conditions, owner.in_(owners)))
        return query.order_by(*(order or [target]))

    def owners(self, connection: Any, pks: Iterable[Any]) -> set[Key]:
        """Return the documents that list the objects *pks*, as *connection* sees it."""
        if self._owners_of_keys is None:
            keys = bindparam(KEYS, expanding=True, type_=self.target_key.type)
            self._owners_of_keys = self.owner_keys(keys)
        cached = compiled_once(connection)
        name = self.owner.__name__
        return {
            Key(name, stored_key(self.owner, owner))
            for part in chunks(pks, KEYS_PER_QUERY)
            for (owner,) in cached.execute(self._owners_of_keys, {KEYS: part})
        }


class Join:
    """The join of a relationship, under aliases.

    :param part: and *table*: whose row is at hand; None: of none.
    :param row: returns the expression for a column of that row.
    :ivar aliases: of the other tables.
    """

    def __init__(
        self,
        dependency: Dependency,
        part: Optional[Part] = None,
        table: Any = None,
        row: Optional[Callable[[Any], Any]] = None,
    ) -> None:
        self.dependency = dependency
        self._part, self._table, self._row = part, table, row
        self._aliases: dict[tuple[Part, Any], Any] = {}

    @property
    def aliases(self) -> list[Any]:
        return list(self._aliases.values())

    def owner_key(self) -> Any:
        link_key = self.dependency.link_key
        if link_key is not None:
            return self.column(Part.LINK, link_key)
        return self.column(Part.OWNER, self.dependency.owner_key)

    def column(self, part: Part, column: Any) -> Any:
        """Return *column* of a table of *part*."""
        table = column.table
        if self._row is not None and (part, table) == (self._part, self._table):
            return self._row(column_of(table, column.name))
        if (part, table) not in self._aliases:
            self._aliases[part, table] = table.alias(f"{part.value}_{len(self._aliases)}")
        return column_of(self._aliases[part, table], column.name)

    def conditions(self) -> list[Any]:
        """Return the conditions, those that join the several tables of one end included."""
        dependency = self.dependency
        conditions = [
            self.replaced(clause, part_of)
            for clause, part_of in dependency.conditions_of(self._part)
        ]
        for part, mapper in (
            (Part.OWNER, schema.mapper_of(dependency.owner)),
            (Part.TARGET, dependency.prop.mapper),
        ):
            if part is self._part or any(used is part for used, _ in self._aliases):
                conditions += [
                    self.replaced(each.inherit_condition, partial(_always, part))
                    for each in mapper.iterate_to_root()
                    if each.inherit_condition is not None
                ]
        return conditions

    def replaced(self, clause: Any, part_of: PartOf) -> Any:
        """Return *clause* with the columns under their aliases."""

        def replace(element: Any) -> Any:
            if not isinstance(getattr(element, "table", None), Table):
                return None
            part = part_of(element)
            return None if part is None else self.column(part, element)

        return visitors.replacement_traverse(clause, {}, replace)


def column_of(table: Any, name: str) -> Any:
    """Return the column that is called *name* in the database."""
    return next(column for column in table.c if column.name == name)


def compiled_once(connection: Any) -> Any:
    """Return *connection* so that it compiles each statement once."""
    return connection.execution_options(compiled_cache=_COMPILED)


def stored_key(model: Any, pk: Any) -> Any:
    """Return *pk* as the database stores it: the key 7 may come as "7" (in JSON, in a tunnelled
    query string), and the object has it so until it is loaded again."""
    if pk is None or isinstance(pk, int) == schema.has_integer_pk(model):
        return pk
    return schema.parse_key(model, str(pk))


def _always(part: Part, column: Any) -> Part:
    return part


def _same(column: Any, other: Any) -> bool:
    return column.table is other.table and column.name == other.name
