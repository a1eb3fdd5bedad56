"""Random models of such columns, with their rows and the requests that are sent to them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, replace
from string import Template
from typing import Any, Optional

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.columns import custom_types
from tests.columns.kinds import DDL, INDEXED, KEYS, KINDS, MARIADB, RAW, REQUIRED, Kind
from tests.columns.requests import Request, requests
from tests.columns.values import evaluated, is_raw, near, raw, written
from tests.support.generated import fewer

HEADER = """\
import datetime
from decimal import Decimal
from uuid import UUID

from nefertari import engine as eng
from pyramid_sqlalchemy import metadata
from sqlalchemy import (
    CHAR, JSON, BigInteger, Boolean, Column, Date, DateTime, Enum, Float, ForeignKey, Integer,
    Interval, LargeBinary, Numeric, PickleType, SmallInteger, String, Table, Text, Time, Unicode,
    event, func,
)
from sqlalchemy import literal_column as Raw
from sqlalchemy import types as sqltypes
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import column_property, deferred, reconstructor, synonym, validates
from sqlalchemy_utils import EmailType, JSONType, ScalarListType, UUIDType

from tests.columns.custom_types import *
"""
PER_MODEL = 24
Row = dict[str, str]


@dataclass(frozen=True)
class Column:
    """A column of a model.

    :param more: options, as text.
    :param ddl: its type where SQL has made the table; None if the model's own is right.
    """

    name: str
    kind: Kind
    more: str = ""
    ddl: Optional[str] = None

    @property
    def column(self) -> str:
        """Its name in the database."""
        return Template(self.kind.column).substitute(name=self.name)

    @property
    def is_ordinary(self) -> bool:
        return self.kind.ordinary and self.ddl is None

    @property
    def is_plain(self) -> bool:
        """Return True if its attribute is the column itself while the class is defined."""
        return self.kind.source.startswith(("$name = Column(", "$name = eng."))

    @property
    def label(self) -> str:
        return self.kind.name if self.ddl is None else f"{self.kind.name} as {self.ddl!r}"

    @property
    def fields(self) -> list[str]:
        return [
            self.name,
            *(Template(each).substitute(name=self.name) for each in self.kind.fields),
        ]

    def lines(self, model: str, table: str) -> list[str]:
        text = Template(self.kind.source).substitute(
            name=self.name,
            model=model,
            table=table,
            unique=f"{table}_{self.name}",
            more=self.more,
        )
        return text.replace(", )", ")").splitlines()


@dataclass(frozen=True)
class Extra:
    """What a model has beside columns. In its text, ``$name`` is one of them.

    :param inside: lines of the class.
    :param after: lines after it.
    :param statements: executed when the rows are stored.
    :param default_sort: what it is sorted by without a sort.
    :param unordered: members of documents, nested ones too, whose values are lists in any order.
    """

    name: str
    inside: str = ""
    after: str = ""
    statements: tuple[str, ...] = ()
    default_sort: str = ""
    unordered: tuple[str, ...] = ()


_LOADED = """
@event.listens_for($model, "load")
def loaded_$model(target, context):
    target.__dict__["$name"] = None
"""
_READ = """
def __getattribute__(self, name):
    value = super().__getattribute__(name)
    return str(value).upper() if name == "$name" and value is not None else value
"""
_RECONSTRUCTED = """
@reconstructor
def prepare(self):
    self.__dict__["$name"] = None
"""
_TAGS = """
tags = eng.Relationship(
    document="${model}Tag",
    secondary="${table}_links",
    backref_name="owners",
    backref_uselist=True,
)
"""
_TAG = """
class ${model}Tag(eng.BaseDocument):
    __tablename__ = "${table}_tags"
    id = eng.IdField(primary_key=True)
    name = eng.StringField(max_length=20)


Table(
    "${table}_links",
    metadata,
    Column("thing_id", Integer, ForeignKey("$table.id")),
    Column("tag_id", Integer, ForeignKey("${table}_tags.id")),
)
"""
_LINKED = (
    "DELETE FROM ${table}_links",
    "DELETE FROM ${table}_tags",
    "INSERT INTO ${table}_tags (id, name) VALUES (1, 'x'), (2, 'X')",
    "INSERT INTO ${table}_links SELECT id, 1 FROM $table UNION ALL SELECT id, 1 FROM $table "
    "UNION ALL SELECT id, 2 FROM $table WHERE id < 3",
)
EXTRAS = (
    Extra("order_by", '__mapper_args__ = {"order_by": $name}', default_sort="$name"),
    Extra("order_by", '__mapper_args__ = {"order_by": $name.desc()}', default_sort="-$name"),
    Extra("load event", after=_LOADED),
    Extra("__getattribute__", _READ),
    Extra("reconstructor", _RECONSTRUCTED),
    Extra("links", _TAGS, _TAG, _LINKED, unordered=("tags",)),
    Extra(
        "nested links",
        f'_nested_relationships = ("tags",)\n{_TAGS.strip()}',
        _TAG,
        _LINKED,
        unordered=("tags", "owners"),
    ),
)


@dataclass(frozen=True)
class Model:
    """A model, its rows by columns' names, and requests.

    :param key: the column of its primary key.
    :param rows: of each column the text of its value.
    """

    key: Column
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    extras: tuple[Extra, ...]
    requests: tuple[Request, ...]

    @property
    def is_ordinary(self) -> bool:
        ordinary = all(column.is_ordinary for column in (self.key, *self.columns))
        by_sql = any(is_raw(literal) for row in self.rows for literal in row.values())
        return ordinary and not self.extras and not by_sql

    @property
    def default_sort(self) -> str:
        return self._filled("".join(extra.default_sort for extra in self.extras), 0)

    @property
    def unordered(self) -> frozenset[str]:
        return frozenset(name for extra in self.extras for name in extra.unordered)

    def labels(self, fields: set[str]) -> list[str]:
        """Return what the columns are whose fields are in *fields*."""
        return [column.label for column in self.columns if fields.intersection(column.fields)]

    def statements(self, number: int) -> list[str]:
        return [self._filled(each, number) for extra in self.extras for each in extra.statements]

    def source(self, number: int) -> str:
        """Return its text; the application has one model of each *number*."""
        name, table = f"Thing{number}", f"things{number}"
        lines = [f'__tablename__ = "{table}"']
        for column in (self.key, *self.columns):
            lines += column.lines(name, table)
        for extra in self.extras:
            lines += self._filled(extra.inside, number).strip().splitlines()
        body = "\n    ".join([f"class {name}(eng.ESBaseDocument):", *lines])
        after = [self._filled(extra.after, number).strip() for extra in self.extras if extra.after]
        return "\n\n".join([body, *after, ""])

    def _filled(self, text: str, number: int) -> str:
        return Template(text).substitute(
            name=self.columns[0].name, model=f"Thing{number}", table=f"things{number}"
        )

    def definitions(self) -> str:
        """Return the types that the application has defined, as text."""
        helpers = dict.fromkeys(
            name for column in (self.key, *self.columns) for name in column.kind.helper.split()
        )
        return "\n\n".join(inspect.getsource(getattr(custom_types, name)) for name in helpers)

    def bare(self, fields: set[str]) -> Model:
        """Return a model of nothing but the columns whose fields are in *fields*, as they are."""
        columns = [each for each in self.columns if fields.intersection(each.fields)]
        plain = [replace(each, more="") for each in columns or self.columns]
        return replace(self, columns=tuple(plain), extras=())

    def simpler(self) -> Iterator[Model]:
        """Yield models that lack one part of this one's definition."""
        for extra in self.extras:
            yield replace(self, extras=tuple(each for each in self.extras if each is not extra))
        if self.key.kind is not KEYS[0]:
            rows = tuple({**row, "id": str(at)} for at, row in enumerate(self.rows, 1))
            yield replace(self, key=Column("id", KEYS[0]), rows=rows)
        for column in self.columns:
            rest = tuple(each for each in self.columns if each is not column)
            if rest:
                yield replace(self, columns=rest)
            for change in ({"ddl": None}, {"more": ""}):
                changed = replace(column, **change)  # type: ignore[arg-type]
                if changed != column:
                    columns = tuple(changed if each is column else each for each in self.columns)
                    yield replace(self, columns=columns)

    def smaller_rows(self) -> Iterator[tuple[Row, ...]]:
        """Yield fewer rows, and rows with fewer values."""
        for rows in fewer(self.rows):
            yield tuple(rows)
        for at, row in enumerate(self.rows):
            for name, literal in row.items():
                if literal != "None" and name != self.key.name:
                    changed = {**row, name: "None"}
                    yield (*self.rows[:at], changed, *self.rows[at + 1 :])


# Random ones


def _rarely(rare: Any, usual: Any, one_of: int) -> Any:
    """Draw from *rare* one time of *one_of*, otherwise from *usual*."""
    return st.integers(1, one_of).flatmap(lambda number: rare if number == one_of else usual)


def _columns(name: str, dialect: str, ordinary: bool) -> st.SearchStrategy[Column]:
    kinds = [kind for kind in KINDS if dialect in kind.dialects and (kind.ordinary or not ordinary)]

    def options(kind: Kind) -> st.SearchStrategy[Column]:
        more = ["", "", "", REQUIRED["Field(" in kind.source]]
        if kind.family and dialect != MARIADB:
            more += INDEXED
        types = DDL.get((dialect, kind.family), ())
        nothing: Any = st.none()
        ddl = nothing if ordinary or not types else _rarely(st.sampled_from(types), nothing, 3)
        return st.builds(Column, st.just(name), st.just(kind), st.sampled_from(more), ddl)

    return st.sampled_from(kinds).flatmap(options)


def _pool(column: Column, dialect: str, ordinary: bool) -> st.SearchStrategy[list[str]]:
    """Draw the values of a column, few enough to be equal in some rows."""
    values = column.kind.values
    stored_by_sql = RAW.get((dialect, column.kind.family), ())
    if stored_by_sql and not ordinary:
        values = _rarely(st.sampled_from(stored_by_sql).map(raw), values, 8)
    return st.lists(_rarely(st.just("None"), values, 5), min_size=2, max_size=5)


def _key_values(kind: Kind, count: int) -> st.SearchStrategy[list[str]]:
    if kind is KEYS[0]:
        return st.just([str(number) for number in range(1, count + 1)])
    return st.lists(kind.values, min_size=count, max_size=count, unique=True)


@st.composite
def models(draw: Any, dialect: str) -> Model:
    """Draw a model; half of them are of ordinary fields alone."""
    ordinary = draw(st.booleans())
    count = draw(st.integers(1, 3))
    columns = tuple(draw(_columns(name, dialect, ordinary)) for name in "abc"[:count])
    keys = [kind for kind in KEYS if dialect in kind.dialects and (kind.ordinary or not ordinary)]
    # Columns may refer to a key of the first kind.
    key = Column("id", draw(_rarely(st.sampled_from(keys), st.just(KEYS[0]), 4)))
    if any("$table.id" in column.kind.source for column in columns):
        key = Column("id", KEYS[0])
    extras: tuple[Extra, ...] = ()
    if not ordinary and key.kind is KEYS[0] and draw(st.integers(1, 5)) == 5:
        fitting = [each for each in EXTRAS if not each.default_sort or columns[0].is_plain]
        extras = (draw(st.sampled_from(fitting)),)
    pools = {column.name: draw(_pool(column, dialect, ordinary)) for column in columns}
    row = st.fixed_dictionaries({name: st.sampled_from(pool) for name, pool in pools.items()})
    stored = draw(st.lists(row, min_size=2, max_size=7))
    numbers = draw(_key_values(key.kind, len(stored)))
    rows = tuple({"id": number, **each} for number, each in zip(numbers, stored))
    texts = {each for number in numbers for each in written(evaluated(number))}
    fields = {"id": [*sorted(texts), "0", "99", "x"]}
    literals = {"id": numbers}
    for column in columns:
        texts = {each for text in pools[column.name] for each in written(evaluated(text))}
        close = [each for text in sorted(texts) for each in near(text)] or ["1"]
        fields.update(dict.fromkeys(column.fields, close))
        values = [each for each in pools[column.name] if each != "None" and not is_raw(each)]
        literals.update(dict.fromkeys(column.fields, values or ["None"]))
    # Those of nested documents are none of the model: both have to answer so.
    fields.update({name: [] for extra in extras for name in extra.unordered})
    request = requests(fields, literals)
    parameters = draw(st.lists(request, min_size=PER_MODEL, max_size=PER_MODEL))
    return Model(key, columns, rows, extras, tuple(parameters))


def drawn(dialect: str, number: int, count: int) -> list[Model]:
    """Return *count* random models, the same for the same *number*."""
    examples: list[Model] = []

    @seed(number)
    @settings(
        max_examples=count + 1,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(models(dialect))
    def collect(model: Model) -> None:
        examples.append(model)

    collect()
    # The first one is the simplest there is, whatever the number.
    return examples[1:]
