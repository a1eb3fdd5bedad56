"""What must be captured of each table, so that every document that depends on a row is indexed.

The documents that depend on the new state of a row are found when the outbox row is claimed
(fan_out.py). Only those of its old state can't be found by then: owners by a foreign key that
moved, documents that referenced a deleted row, both ends of a link.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Optional

from sqlalchemy import Table
from sqlalchemy.sql import visitors

from nefertari_search_tween.primary.sqla import schema
from nefertari_search_tween.primary.sqla.dependencies.dependencies import Dependencies
from nefertari_search_tween.primary.sqla.dependencies.relationships import Dependency

log = logging.getLogger(__name__)

Pairs = tuple[tuple[Any, Any], ...]


@dataclass(frozen=True)
class Lookup:
    """How to find, from a row, the documents that reference it.

    :param owner: name of the documents' model.
    :param key: the column with their key: of the row itself, or of *source*.
    :param source: the table to query; None: the row holds the key.
    :param on: pairs (column of *source*, column of the row) that are equal.
    :param columns: names of the row's columns whose change makes others reference it.
    """

    owner: str
    key: Any
    source: Optional[Any]
    on: Pairs
    columns: tuple[str, ...]


@dataclass
class TableCapture:
    """What triggers on *table* record.

    :param models: those whose objects are its rows, with the column that is their key.
    :param lookups: documents that reference such an object, by its old state.
    :param links: documents that a row of an association table concerns, by old and new state.
    """

    table: Any
    models: list[tuple[str, Any]] = field(default_factory=list)
    lookups: list[Lookup] = field(default_factory=list)
    links: list[Lookup] = field(default_factory=list)

    @property
    def foreign_key_columns(self) -> list[str]:
        """Return the columns whose change makes other documents list an object."""
        return sorted({name for lookup in self.lookups for name in lookup.columns})


def trigger_plan(dependencies: Dependencies) -> list[TableCapture]:
    """Return what to capture for the mirrors of *dependencies*, by name of the table."""
    captures: dict[Any, TableCapture] = {}
    for model in sorted(dependencies.tracked_models, key=lambda each: str(each.__name__)):
        mapper = schema.mapper_of(model)
        for table in mapper.tables:
            key = _key_in(mapper, table)
            _of(captures, table).models.append((model.__name__, key))
        for edge in dependencies.edges_to.get(model, ()):
            if edge.prop.secondary is None:
                _add_plain(captures, mapper, edge)
            elif isinstance(edge.prop.secondary, Table):
                _add_association(captures, mapper, edge)
            else:
                log.warning(
                    "%s.%s goes through what is no table: triggers do not capture its changes",
                    edge.owner.__name__,
                    edge.prop.key,
                )
    return sorted(captures.values(), key=lambda capture: str(capture.table.fullname))


def _of(captures: dict[Any, TableCapture], table: Any) -> TableCapture:
    return captures.setdefault(table, TableCapture(table))


def _key_in(mapper: Any, table: Any) -> Any:
    """Return the column of *table* (one of several if a class inherits) that holds the key."""
    key = mapper.primary_key[0]
    return key if key.table is table else next(iter(table.primary_key))


def _add_plain(captures: dict[Any, TableCapture], mapper: Any, edge: Dependency) -> None:
    owner_key = schema.mapper_of(edge.owner).primary_key[0]
    for table in mapper.tables:
        pairs = tuple(pair for pair in edge.prop.local_remote_pairs if pair[1].table is table)
        if not pairs:
            continue
        columns = tuple(sorted({r.name for _, r in pairs} | set(_joined(edge.prop, table))))
        name = edge.owner.__name__
        if len(pairs) == 1 and pairs[0][0] is owner_key:
            lookup = Lookup(name, pairs[0][1], None, (), columns)
        else:
            lookup = Lookup(name, owner_key, owner_key.table, pairs, columns)
        _of(captures, table).lookups.append(lookup)


def _joined(prop: Any, table: Any) -> Iterator[str]:
    """Yield the columns of the target's *table* that decide what the relationship *prop* holds."""
    for element in visitors.iterate(prop.primaryjoin, {}):
        if getattr(element, "table", None) is table and "remote" in element._annotations:
            yield element.name


def _add_association(captures: dict[Any, TableCapture], mapper: Any, edge: Dependency) -> None:
    prop, name = edge.prop, edge.owner.__name__
    owner_key = schema.mapper_of(edge.owner).primary_key[0]
    ends = tuple(prop.synchronize_pairs)
    columns = tuple(sorted(c.name for _, c in (*ends, *prop.secondary_synchronize_pairs)))
    links = _of(captures, prop.secondary).links
    if len(ends) == 1 and ends[0][0] is owner_key:
        links.append(Lookup(name, ends[0][1], None, (), columns))
    else:
        links.append(Lookup(name, owner_key, owner_key.table, ends, columns))
        return
    # For a target that is deleted while its links stay: only a foreign key would forbid it.
    for table in mapper.tables:
        on = tuple((c, t) for t, c in prop.secondary_synchronize_pairs if t.table is table)
        if on:
            columns_of_target = tuple(sorted(target.name for _, target in on))
            lookup = Lookup(name, ends[0][1], prop.secondary, on, columns_of_target)
            _of(captures, table).lookups.append(lookup)
