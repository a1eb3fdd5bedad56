"""Random statements, as Python text, by every path on which an application writes.

A transaction is a list of statements between ``begin(...)`` and ``commit()`` or ``rollback()``:
``s`` is its session, ``c`` its connection, ``get`` returns an object; ``M`` has the models, ``T``
the tables. What is changed is chosen by what the database holds when the statement is made.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any, Optional

from sqlalchemy import Boolean, Integer, func, select
from sqlalchemy.orm import class_mapper
from sqlalchemy.types import TypeDecorator

from tests.schemas.application import Application

TEXTS = ("a", "b", "c")
#: columns by which lists are ordered and restricted
DECIDING = {"position", "rank", "rank_no", "gone"}
#: of each model, in the beginning
OBJECTS = 4
#: of objects that the application names itself
MAX_KEY = 9


class Writer:
    """Makes statements for *application*."""

    def __init__(self, application: Application, dice: random.Random, raw_sql: bool) -> None:
        self.application = application
        self.dice = dice
        self.raw_sql = raw_sql
        self.connection: Any = None

    def population(self) -> Iterator[str]:
        """Yield the statements of a first transaction: so that lists have several members."""
        yield "begin('scoped')"
        for _ in range(OBJECTS):
            for model in self.application.classes:
                yield self._add(model)
                yield "s.flush()"
        of_models = {
            table for each in self.application.classes for table in class_mapper(each).tables
        }
        for table in self.application.tables:
            if table not in of_models:
                for _ in range(OBJECTS):
                    yield f"s.execute({self._insert(table)})"
        yield "commit()"

    def transaction(self) -> Iterator[str]:
        """Yield the statements of one transaction; each is executed before the next is made."""
        dice = self.dice
        kind = dice.choice(["scoped", "scoped", "scoped", "own", "own", "connection", "engine"])
        if kind == "engine":
            yield self._core("engine")
            return
        yield f"begin({kind!r})"
        for _ in range(dice.randint(1, 6)):
            if kind != "connection" and dice.random() < 0.15:
                yield from self._savepoint()
            elif dice.random() < 0.04:
                yield from self._nested_connection(kind)
            else:
                yield self._statement(kind)
        yield "commit()" if dice.random() < 0.85 else "rollback()"

    def _savepoint(self) -> Iterator[str]:
        yield "p = s.begin_nested()"
        for _ in range(self.dice.randint(1, 3)):
            yield self._statement("session")
        yield self.dice.choice(["p.commit()", "p.rollback()"])

    def _nested_connection(self, kind: str) -> Iterator[str]:
        """A savepoint that the session does not know."""
        if kind != "connection":
            yield "s.flush()"
        yield "p = c.begin_nested()"
        for _ in range(self.dice.randint(1, 2)):
            yield self._statement(kind)
        if kind != "connection":
            yield "s.flush()"
        yield self.dice.choice(["p.commit()", "p.rollback()"])
        if kind != "connection":
            yield "s.expire_all()"

    def _statement(self, kind: str) -> str:
        if kind == "connection":
            return self._core("c")
        if self.dice.random() < 0.3:
            return self._core(self.dice.choice(["s", "s", "c"]))
        models = self.application.classes
        make = self.dice.choice(
            [self._add] * 4
            + [self._set] * 4
            + [self._set_relationship] * 4
            + [self._change_list] * 5
            + [self._delete] * 2
            + [self._change_key]
            + [self._query_update] * 3
            + [self._query_delete]
            + [self._bulk_insert] * 2
            + [self._bulk_save]
            + [self._bulk_update] * 2
            + [self._session_only] * 2
        )
        return make(self.dice.choice(models)) or self._add(self.dice.choice(models))

    # What is stored

    def _keys(self, column: Any) -> list[Any]:
        """Return the values of *column* in the running transaction."""
        query = select([column]).where(column.isnot(None))
        connection = self.connection if self.connection is not None else self.application.engine
        return sorted(row[0] for row in connection.execute(query))

    def _key_of(self, model: Any) -> Optional[Any]:
        """Return the key of a stored object of *model*."""
        mapper = class_mapper(model)
        if len(mapper.primary_key) != 1:
            return None
        keys = self._keys(mapper.primary_key[0])
        if mapper.inherits is not None and mapper.local_table is not mapper.inherits.local_table:
            keys = self._keys(next(iter(mapper.local_table.primary_key)))
        return self.dice.choice(keys) if keys else None

    def _object(self, model: Any) -> Optional[str]:
        key = self._key_of(model)
        return None if key is None else f"get(M.{model.__name__}, {key!r})"

    def _value(self, column: Any, new: bool = False) -> Any:
        """Return a value for *column*: a foreign key mostly is one that exists.

        :param new: of a new row, whose keys are its own.
        """
        dice = self.dice
        for key in column.foreign_keys:
            values = self._keys(key.column)
            if dice.random() < 0.6:
                # Few have many, so that their lists have an order.
                values = values[:2]
            if values and (dice.random() < 0.85 or not column.nullable):
                return dice.choice(values)
            return None
        kinds = self._kinds(column)
        if kinds:
            return dice.choice(kinds)
        text = not _is(column, Integer, Boolean)
        if column.primary_key or column.unique:
            number = dice.randint(1, MAX_KEY)
            if new:
                number = self._free(column)
            return f"k{number}" if text else number
        if _is(column, Boolean):
            return dice.choice([True, False, False])
        if dice.random() < 0.1:
            return None
        return dice.choice(TEXTS) if text else dice.randint(0, 3)

    def _kinds(self, column: Any) -> list[str]:
        """Return the classes that rows of a base's table may be of, without a row elsewhere."""
        for model in self.application.classes:
            mapper = class_mapper(model)
            if mapper.polymorphic_on is column:
                return [
                    identity
                    for identity, each in sorted(mapper.polymorphic_map.items())
                    if each.local_table is column.table
                ]
        return []

    def _free(self, column: Any) -> int:
        texts = {str(value) for value in self._keys(column)}
        for number in range(1, 1000):
            if not {str(number), f"k{number}"} & texts:
                return number
        raise AssertionError("no number is free")

    def _row(self, table: Any) -> dict[Any, Any]:
        """Return a new row, by column; defaults for some of the columns."""
        row = {}
        for column in table.columns:
            if column.primary_key and _is(column, Integer) and not column.foreign_keys:
                if self.dice.random() < 0.3:
                    continue
            elif not column.primary_key and column.nullable and self.dice.random() < 0.2:
                continue
            row[column] = self._value(column, new=True)
        return row

    def _attributes(self, model: Any, keyed: bool = False) -> dict[str, Any]:
        """Return the attributes of a new object.

        :param keyed: with its primary key in any case.
        """
        mapper = class_mapper(model)
        attributes = {}
        for prop in mapper.column_attrs:
            column = prop.columns[0]
            if not hasattr(column, "table") or column is mapper.polymorphic_on:
                continue
            own = column.primary_key
            if not own and self.dice.random() < 0.2 and column.nullable:
                continue
            if own and not keyed and _is(column, Integer) and self.dice.random() < 0.3:
                continue
            attributes[prop.key] = self._value(mapper.columns[prop.key], new=True)
            if own and mapper.inherits is not None:
                attributes[prop.key] = self._free(mapper.primary_key[0])
        return attributes

    def _changeable(self, model: Any) -> list[Any]:
        mapper = class_mapper(model)
        return _weighted(
            prop
            for prop in mapper.column_attrs
            if hasattr(prop.columns[0], "table")
            and not prop.columns[0].primary_key
            and prop.columns[0] is not mapper.polymorphic_on
        )

    # Flushes

    def _new(self, model: Any) -> str:
        arguments = ", ".join(f"{k}={v!r}" for k, v in self._attributes(model).items())
        return f"M.{model.__name__}({arguments})"

    def _add(self, model: Any) -> str:
        return f"s.add({self._new(model)})"

    def _set(self, model: Any) -> Optional[str]:
        item, props = self._object(model), self._changeable(model)
        if item is None or not props:
            return None
        prop = self.dice.choice(props)
        return f"{item}.{prop.key} = {self._value(prop.columns[0])!r}"

    def _relationships(self, model: Any, uselist: bool) -> list[Any]:
        return [
            prop
            for prop in class_mapper(model).relationships
            if prop.uselist is uselist and not prop.viewonly
        ]

    def _set_relationship(self, model: Any) -> Optional[str]:
        item, props = self._object(model), self._relationships(model, False)
        if item is None or not props:
            return self._set(model)
        prop = self.dice.choice(props)
        target = prop.mapper.class_
        value = self.dice.choice([self._object(target), self._object(target), None])
        if self.dice.random() < 0.1:
            value = self._new(target)
        return f"{item}.{prop.key} = {value}"

    def _change_list(self, model: Any) -> Optional[str]:
        item, props = self._object(model), self._relationships(model, True)
        if item is None or not props:
            return self._set(model)
        prop = self.dice.choice(props)
        target = prop.mapper.class_
        other = self._object(target)
        if other is None or self.dice.random() < 0.15:
            other = self._new(target)
        change = self.dice.choice(["append", "append", "append", "pop", "pop", "set", "empty"])
        text = f"{item}.{prop.key}"
        if change == "append":
            return f"{text}.append({other})"
        if change == "pop":
            return f"{text}.pop()"
        return f"{text} = []" if change == "empty" else f"{text} = [{other}]"

    def _delete(self, model: Any) -> Optional[str]:
        item = self._object(model)
        return None if item is None else f"s.delete({item})"

    def _change_key(self, model: Any) -> Optional[str]:
        item, mapper = self._object(model), class_mapper(model)
        if item is None or mapper.inherits is not None:
            return None
        column = mapper.primary_key[0]
        key = mapper.get_property_by_column(column).key
        return f"{item}.{key} = {self._value(column, new=True)!r}"

    def _session_only(self, model: Any) -> str:
        return self.dice.choice(
            ["s.flush()", "s.flush()", "s.expire_all()", f"s.query(M.{model.__name__}).all()"]
        )

    # Bulk statements of a session

    def _some(self, model: Any) -> str:
        props = [
            prop for prop in class_mapper(model).column_attrs if hasattr(prop.columns[0], "table")
        ]
        prop = self.dice.choice(props)
        values = self._keys(prop.columns[0])
        value = self.dice.choice(values) if values else None
        name = model.__name__
        if value is None or self.dice.random() < 0.1:
            return f"s.query(M.{name})"
        return f"s.query(M.{name}).filter(M.{name}.{prop.key} == {value!r})"

    def _query_update(self, model: Any) -> Optional[str]:
        props = self._changeable(model)
        if class_mapper(model).inherits is not None or not props:
            return None
        prop = self.dice.choice(props)
        values = {prop.key: self._value(prop.columns[0])}
        how = self.dice.choice([False, False, "fetch", "evaluate"])
        return f"{self._some(model)}.update({values!r}, synchronize_session={how!r})"

    def _query_delete(self, model: Any) -> Optional[str]:
        if class_mapper(model).inherits is not None:
            return None
        how = self.dice.choice([False, False, "fetch", "evaluate"])
        return f"{self._some(model)}.delete(synchronize_session={how!r})"

    def _bulk_insert(self, model: Any) -> Optional[str]:
        rows, keyed = [], self.dice.random() < 0.5
        for _ in range(self.dice.randint(1, 2)):
            row = self._attributes(model, keyed)
            mapper = class_mapper(model)
            if mapper.polymorphic_on is not None:
                row["kind"] = mapper.polymorphic_identity
            rows.append(row)
        defaults = self.dice.choice(["", "", ", return_defaults=True"])
        return (
            f"s.bulk_insert_mappings(M.{model.__name__}, {self._distinct(model, rows)!r}{defaults})"
        )

    def _distinct(self, model: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return those of *rows* whose keys are different."""
        mapper = class_mapper(model)
        key = mapper.get_property_by_column(mapper.primary_key[0]).key
        return list({row.get(key, at): row for at, row in enumerate(rows)}.values())

    def _bulk_save(self, model: Any) -> Optional[str]:
        item, props = self._object(model), self._changeable(model)
        if item is None or not props or self.dice.random() < 0.5:
            return f"s.bulk_save_objects([{self._new(model)}])"
        prop = self.dice.choice(props)
        value = self._value(prop.columns[0])
        return f"s.bulk_save_objects([changed({item}, {prop.key!r}, {value!r})])"

    def _bulk_update(self, model: Any) -> Optional[str]:
        mapper, props = class_mapper(model), self._changeable(model)
        key = self._key_of(model)
        if key is None or not props:
            return None
        prop = self.dice.choice(props)
        name = mapper.get_property_by_column(mapper.primary_key[0]).key
        row = {name: key, prop.key: self._value(prop.columns[0])}
        return f"s.bulk_update_mappings(M.{model.__name__}, [{row!r}])"

    # Core

    def _core(self, executor: str) -> str:
        """Return a Core statement, or one of raw SQL."""
        table = self.dice.choice(self.application.tables)
        if table.name == "s1" and len(table.columns) == 1:
            table = self.application.metadata.tables["s"]
        make = self.dice.choice(
            [self._insert] * 3 + [self._update] * 4 + [self._update_many] + [self._delete_rows] * 2
        )
        if self.raw_sql and self.dice.random() < 0.4:
            make = self._raw
        return f"{executor}.execute({make(table)})"

    def _insert(self, table: Any) -> str:
        rows = [{column.name: value for column, value in self._row(table).items()}]
        name = f"T[{table.name!r}]"
        form = self.dice.choice(["one", "one", "many", "values", "select"])
        if form == "many":
            return f"{name}.insert(), {rows!r}"
        if form == "values":
            return f"{name}.insert().values({rows!r})"
        key = table.primary_key.columns.values()
        if form == "select" and len(key) == 1 and _is(key[0], Integer):
            others = [c.name for c in table.columns if not c.primary_key and not c.unique]
            highest = select([func.coalesce(func.max(key[0]), 0)])
            connection = self.connection if self.connection is not None else self.application.engine
            free = connection.execute(highest).scalar()
            columns = ", ".join(f"{name}.c.{other}" for other in others)
            return (
                f"{name}.insert().from_select({[key[0].name, *others]!r}, "
                f"select([{name}.c.{key[0].name} + {free}, {columns}])"
                f".where({self._where(table)}))"
            )
        return f"{name}.insert().values(**{rows[0]!r})"

    def _where(self, table: Any) -> str:
        column = self.dice.choice(list(table.columns))
        values = self._keys(column)
        if not values:
            return f"T[{table.name!r}].c.{column.name} == None"
        return f"T[{table.name!r}].c.{column.name} == {self.dice.choice(values)!r}"

    def _update(self, table: Any) -> str:
        columns = list(table.columns)
        plain = _weighted(column for column in columns if not column.primary_key)
        if table.name == "s1":
            columns = plain
        column = self.dice.choice(plain or columns if self.dice.random() < 0.9 else columns)
        value: Any = repr(self._value(column, new=column.primary_key))
        name = f"T[{table.name!r}]"
        if column.name in ("position", "rank_no") and self.dice.random() < 0.3:
            value = f"{name}.c.{column.name} + 1"
        where = f".where({self._where(table)})" if self.dice.random() < 0.9 else ""
        return f"{name}.update(){where}.values({column.name}={value})"

    def _update_many(self, table: Any) -> str:
        key = next(iter(table.primary_key), None)
        plain = _weighted(column for column in table.columns if not column.primary_key)
        keys = self._keys(key) if key is not None else []
        if not keys or not plain:
            return self._update(table)
        column = self.dice.choice(plain)
        rows = [
            {"key": each, "value": self._value(column)}
            for each in self.dice.sample(keys, min(2, len(keys)))
        ]
        name = f"T[{table.name!r}]"
        return (
            f"{name}.update().where({name}.c.{key.name} == bindparam('key'))"
            f".values({column.name}=bindparam('value')), {rows!r}"
        )

    def _delete_rows(self, table: Any) -> str:
        if table.name == "s1":
            # The row of its base would be of a class that it is not: no object.
            return self._update(table)
        return f"T[{table.name!r}].delete().where({self._where(table)})"

    def _raw(self, table: Any) -> str:
        plain = [column for column in table.columns if not column.primary_key] or table.columns
        column, condition = self.dice.choice(list(plain)), self.dice.choice(list(table.columns))
        values = self._keys(condition)
        where = _literal(self.dice.choice(values) if values else None)
        test = f"{condition.name} = {where}"
        if self.dice.random() < 0.3 and table.name != "s1":
            return repr(f"DELETE FROM {table.name} WHERE {test}")
        value = _literal(self._value(column))
        return repr(f"UPDATE {table.name} SET {column.name} = {value} WHERE {test}")


def _is(column: Any, *types: type) -> bool:
    """Return True if *column* holds values of one of *types*, fields of nefertari's included."""
    kind = column.type
    while isinstance(kind, TypeDecorator):
        kind = kind.impl
    return isinstance(kind, types)


def _literal(value: Any) -> str:
    """Return *value* as SQL text, the same for SQLite and PostgreSQL."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "(1 = 1)" if value else "(1 = 0)"
    return f"'{value}'" if isinstance(value, str) else str(value)


def _weighted(columns: Iterable[Any]) -> list[Any]:
    """Return *columns*, those more often that orders and conditions of lists are made of."""
    return [each for each in columns for _ in range(3 if each.key in DECIDING else 1)]
