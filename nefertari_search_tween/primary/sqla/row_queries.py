"""The statements that the reader of rows runs again and again: made and compiled once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Callable, Optional, Union

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session, aliased
from sqlalchemy.util import LRUCache

from nefertari_search_tween.chunks import chunks
from nefertari_search_tween.primary.sqla import schema
from nefertari_search_tween.primary.sqla.dependencies.conditions import (
    columns_of,
    conjuncts,
    equated,
    is_adaptable,
)
from nefertari_search_tween.primary.sqla.dependencies.relationships import Dependency
from nefertari_search_tween.primary.sqla.plain_query import KEYS_PER_QUERY, plain_query

# Making and compiling a statement takes longer than the database does for one document.
_STATEMENTS: Any = LRUCache(1000)
_COMPILED: Any = LRUCache(1000)
_KEYS = "keys"


class Among:
    """Restricts a query to the rows *keys*: by parameters, so that it is compiled once."""

    def __init__(self, attribute: Any, keys: list[Any]) -> None:
        self.attribute = attribute
        self.parameters = {_KEYS: keys}

    def of_parameters(self, query: Any) -> Any:
        """Return *query* restricted to the rows; it is executed with :attr:`parameters`."""
        return query.filter(self.attribute.in_(_expanding()))


class Between:
    """Restricts a query to the rows of the keys *first* to *last*, in their order; as Among."""

    def __init__(self, attribute: Any, first: Any, last: Any) -> None:
        self.attribute = attribute
        self.parameters = {"first": first, "last": last}

    def of_parameters(self, query: Any) -> Any:
        attribute = self.attribute
        bounds = (attribute >= bindparam("first"), attribute <= bindparam("last"))
        return query.filter(*bounds).order_by(attribute)


Narrow = Union[Among, Between]


def _expanding() -> Any:
    return bindparam(_KEYS, expanding=True)


def selected(
    session: Session, model: Any, name: Any, query: Callable[[], Any], parameters: dict[str, Any]
) -> list[Any]:
    """Return the rows of a statement that is made and compiled once.

    :param model: that it reads.
    :param name: identifies it among the statements on *model*.
    :param query: makes it, for these *parameters*.
    """
    statement = _STATEMENTS.get((model, name))
    if statement is None:
        statement = _STATEMENTS[model, name] = query()
    connection = session.connection(model.__mapper__).execution_options(compiled_cache=_COMPILED)
    return list(connection.execute(statement, parameters))


def existing_keys(session: Session, model: Any, keys: Iterable[Any]) -> Iterator[Any]:
    """Yield those of *keys* that objects of *model* have, as the database has them."""
    pk = schema.pk_attribute(model)
    for part in chunks(keys, KEYS_PER_QUERY):
        rows = selected(
            session,
            model,
            "existing",
            lambda: plain_query(session, pk).filter(pk.in_(_expanding())).statement,
            {_KEYS: part},
        )
        yield from (key for (key,) in rows)


def related_keys(
    session: Session, model: Any, prop: Any, owners: list[Any]
) -> dict[Any, dict[Any, None]]:
    """Return the keys of the targets of the relationship *prop* of *model*, by keys of *owners*.

    In the order of the relationship, by target key where it has none; each once.
    """
    related: dict[Any, dict[Any, None]] = {}
    for part in chunks(owners, KEYS_PER_QUERY):
        rows = selected(
            session, model, prop, lambda: _key_pairs(session, model, prop), {_KEYS: part}
        )
        for owner, target in rows:
            related.setdefault(owner, {})[target] = None
    return related


def _key_pairs(session: Session, model: Any, prop: Any) -> Any:
    """Return the query for pairs (key of an owner, key of a target)."""
    target_model = prop.mapper.class_
    target_pk = prop.mapper.primary_key[0]
    column = owner_column(model, prop)
    if column is not None:
        order = prop.order_by or (target_pk,)
        return select([column, target_pk]).where(column.in_(_expanding())).order_by(*order)
    dependency = Dependency(model, prop)
    if dependency.joinable and all(map(is_adaptable, prop.order_by or ())):
        return dependency.key_pairs(_expanding())
    target = aliased(target_model) if target_model is model else target_model
    owner_pk = schema.pk_attribute(model)
    target_pk = getattr(target, target_model.pk_field())
    return (
        plain_query(session, owner_pk, target_pk)
        .select_from(model)
        .join(target, getattr(model, prop.key))
        .filter(owner_pk.in_(_expanding()))
        .order_by(*(prop.order_by or (target_pk,)))
        .statement
    )


# Relationships whose rows hold the other end's key


def _only_equation(prop: Any) -> Optional[tuple[Any, Any]]:
    """Return the columns whose equality is all of the condition of *prop*, the target's second;
    None if there is more to it."""
    mapper = prop.mapper
    plain = mapper.inherits is None and mapper.polymorphic_on is None
    clauses = list(conjuncts(prop.primaryjoin))
    pair = equated(clauses[0]) if prop.secondary is None and plain and len(clauses) == 1 else None
    for own, remote in (pair, pair[::-1]) if pair else ():
        if "remote" in remote._annotations and "remote" not in own._annotations:
            return own, remote
    return None


@lru_cache(maxsize=1000)
def key_column(model: Any, prop: Any) -> Optional[str]:
    """Return the column of *model* that holds the key of the only target of *prop*; None if there
    is none. The target need not exist, nor its key be written in the same way: see the caller."""
    pair = None if prop.uselist else _only_equation(prop)
    if pair is None or not _is(pair[1], prop.mapper.primary_key[0]):
        return None
    return str(pair[0].name) if pair[0].name in model._mapped_columns() else None


def owner_column(model: Any, prop: Any) -> Optional[Any]:
    """Return the column of the target's table that holds the key of the owner; None if there is
    none, or if one key may be written in several ways, as texts may under a collation."""
    pair = _only_equation(prop)
    if pair is None or not _is(pair[0], schema.mapper_of(model).primary_key[0]):
        return None
    column = prop.mapper.local_table.c.get(pair[1].key)
    same_table = all(
        is_adaptable(each) and {c.table for c in columns_of(each)} <= {prop.mapper.local_table}
        for each in prop.order_by or ()
    )
    integers = schema.has_integer_pk(model) and schema.is_integer(pair[1].type)
    return column if same_table and integers else None


def _is(column: Any, other: Any) -> bool:
    return column.table is other.table and column.name == other.name
