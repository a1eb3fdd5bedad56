"""Reads objects of nefertari_sqla models as document bodies.

If the document is the same, columns are read and no objects are made: related keys and nested
documents come with one query per relationship and chunk, not one per object.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Callable, Optional

from sqlalchemy import bindparam
from sqlalchemy.exc import DataError, DBAPIError
from sqlalchemy.orm import Session, aliased
from sqlalchemy.util import LRUCache

from nefertari_search_tween.chunks import chunks
from nefertari_search_tween.exceptions import ConfigurationError
from nefertari_search_tween.interfaces.primary import Body, RequestHooks
from nefertari_search_tween.mirror.serializer import Serializers, body_or_error
from nefertari_search_tween.primary.read_limit import ReadLimit
from nefertari_search_tween.primary.sqla import schema
from nefertari_search_tween.primary.sqla.dependencies.conditions import is_adaptable
from nefertari_search_tween.primary.sqla.dependencies.relationships import Dependency
from nefertari_search_tween.primary.sqla.objects import ObjectRenderer, row_bytes
from nefertari_search_tween.primary.sqla.plain_query import (
    KEYS_PER_QUERY,
    PlainQuery,
    plain_query,
)
from nefertari_search_tween.primary.sqla.proof.stored_forms import RowForms, stored_forms

log = logging.getLogger(__name__)

# Making and compiling a statement takes longer than the database does for one document.
_STATEMENTS: Any = LRUCache(1000)
_COMPILED: Any = LRUCache(1000)
_KEYS = "keys"

Record = dict[str, Any]


class SqlaReader:
    """See :class:`~nefertari_search_tween.interfaces.primary.Reader`.

    :param bind: returns the SQLAlchemy engine of the model's table.
    :param hooks: of the model. Those on queries are off here, by :class:`PlainQuery`; with one that
        can't be, nothing is read: a part would be taken for everything.
    """

    def __init__(
        self,
        model: Any,
        serializers: Serializers,
        bind: Callable[[], Any],
        hooks: RequestHooks,
    ) -> None:
        self.model = model
        self.hooks = hooks
        self.serializers = serializers
        self.bind = bind
        self.columns_suffice = schema.columns_suffice(model, model._nesting_depth)
        self._objects = ObjectRenderer(model, serializers, self.columns_suffice)
        self._limit = ReadLimit()

    # Keys of objects that are read at once

    def split(self, pks: Iterable[Any], most: int) -> Iterator[list[Any]]:
        pk = schema.pk_attribute(self.model)
        for part in chunks(pks, KEYS_PER_QUERY):
            sizes = dict(
                self._each(part, lambda session, keys: self._sized(session).filter(pk.in_(keys)))
            )
            yield from self._limit.parts(((each, sizes.get(each, 0)) for each in part), most)

    def _keys(self, most: int, after: Optional[Any], descending: bool) -> Iterator[list[Any]]:
        """Yield the keys of all objects in their order, in lists to read at once."""
        pk = schema.pk_attribute(self.model)
        while True:
            unreadable = self._unreadable()
            if unreadable is not None:
                raise unreadable
            with self._session() as session:
                query = self._sized(session)
                if after is not None:
                    query = query.filter(pk < after if descending else pk > after)
                rows = query.order_by(pk.desc() if descending else pk).limit(most).all()
            if not rows:
                return
            yield from self._limit.parts(rows, most)
            after = rows[-1][0]

    def _sized(self, session: Session) -> Any:
        return session.query(schema.pk_attribute(self.model), row_bytes(self.model, session))

    def _each(self, pks: list[Any], query: Callable[[Session, list[Any]], Any]) -> list[Any]:
        """Return the rows of *query* for *pks*. No object has a key that the database refuses to
        compare with (a number beyond those of the column, a text): there are none for it."""
        try:
            with self._session() as session:
                return list(query(session, pks))
        except DataError:
            if len(pks) == 1:
                return []
        middle = len(pks) // 2
        return self._each(pks[:middle], query) + self._each(pks[middle:], query)

    def existing(self, pks: Iterable[Any]) -> set[Any]:
        pk = schema.pk_attribute(self.model)
        existing: set[Any] = set()
        for part in chunks(pks, KEYS_PER_QUERY):
            rows = self._each(part, lambda session, keys: session.query(pk).filter(pk.in_(keys)))
            existing.update(each for (each,) in rows)
        return existing

    # Bodies

    def read(self, pks: Iterable[Any]) -> dict[Any, Body]:
        return self._read(pks, self._bodies)

    def read_objects(self, pks: Iterable[Any]) -> dict[Any, Body]:
        return self._read(pks, self._object_bodies)

    def _read(self, pks: Iterable[Any], make: Callable[[Session, Any], Any]) -> dict[Any, Body]:
        bodies: dict[Any, Body] = {}
        unreadable = self._unreadable()
        if unreadable is not None:
            return dict.fromkeys(pks, unreadable)
        for part in chunks(pks, KEYS_PER_QUERY):
            bodies.update(self._readable(part, make))
        self._limit.measure(bodies)
        return bodies

    def _readable(
        self, pks: list[Any], make: Callable[[Session, Any], dict[Any, Body]]
    ) -> dict[Any, Body]:
        """Return the bodies of *pks*. An object that can't be read (a broken pickle, say) has the
        error as its body, and does not affect the others."""
        among = _Among(schema.pk_attribute(self.model), pks)
        try:
            with self._session() as session:
                return make(session, among)
        except Exception as error:
            if len(pks) > 1:
                # In halves: few are broken. A database that is down fails at the first single one.
                middle = len(pks) // 2
                return {
                    **self._readable(pks[:middle], make),
                    **self._readable(pks[middle:], make),
                }
            if isinstance(error, DBAPIError):
                if not self.existing(pks):
                    return {}
                if not self._fails_again(among, error, make):
                    raise
            return {pks[0]: error}

    def _fails_again(
        self, among: _Among, error: DBAPIError, make: Callable[[Session, Any], Any]
    ) -> bool:
        """Return True if the database rejects this object with the same error."""
        try:
            with self._session() as session:
                make(session, among)
        except DBAPIError as again:
            return str(again.orig) == str(error.orig) and not again.connection_invalidated
        return False

    def scan(self, chunk: int, after: Optional[Any] = None) -> Iterator[list[tuple[Any, Body]]]:
        pk = schema.pk_attribute(self.model)
        for keys in self._keys(chunk, after, descending=False):
            between = partial(_between, pk, keys[0], keys[-1])
            try:
                with self._session() as session:
                    bodies = self._bodies(session, between)
            except Exception as error:  # noqa: BLE001 - raised by `read` unless it is a row's
                log.info("%s is read one by one around %r: %s", self.model, keys[0], error)
                bodies = self.read(keys)
            self._limit.measure(bodies)
            if bodies:
                yield list(bodies.items())

    def scan_objects(self, chunk: int) -> Iterator[list[tuple[Any, Body]]]:
        # Backwards, and by the keys: what `scan` would skip is here.
        for keys in self._keys(chunk, None, descending=True):
            yield list(self.read_objects(keys).items())

    def key(self, text: str) -> Any:
        if not schema.has_integer_pk(self.model):
            if "\0" in text:
                raise ValueError("no database stores a null character in a key")
            return text
        number = int(text)
        # Also "+1" and "01" are numbers, but no key is written like that.
        if str(number) != text or not -(2**63) <= number < 2**63:
            raise ValueError(f"{text} is no key")
        return number

    def count(self) -> int:
        with self._session() as session:
            return int(session.query(schema.pk_attribute(self.model)).count())

    def _unreadable(self) -> Optional[Exception]:
        hook = self.hooks.unreadable()
        if hook is None:
            return None
        return ConfigurationError(
            f"{self.model.__name__} can't be indexed: {hook.name} may hide a part of it "
            f"({hook.reason}, docs/privacy.rst)"
        )

    @contextmanager
    def _session(self) -> Iterator[Session]:
        session = Session(
            bind=self.bind(), autoflush=False, expire_on_commit=False, query_cls=PlainQuery
        )
        try:
            yield session
        finally:
            session.close()

    def _bodies(self, session: Session, narrow: Callable[[Any], Any]) -> dict[Any, Body]:
        if not self.columns_suffice:
            return self._object_bodies(session, narrow)
        serializer = self.serializers.of(self.model)
        records, forms = self._records(session, self.model, narrow, self.model._nesting_depth)
        return {
            pk: body_or_error(serializer, record, *forms.get(pk, ()))
            for pk, record in records.items()
        }

    def _object_bodies(self, session: Session, narrow: Callable[[Any], Any]) -> dict[Any, Body]:
        return self._objects.bodies(session, narrow)

    # Columns

    def _records(
        self, session: Session, model: Any, narrow: Callable[[Any], Any], depth: int
    ) -> tuple[dict[Any, Record], dict[Any, RowForms]]:
        """Return what ``to_dict`` would return, by primary key, and how the database stores it."""
        mapper = schema.mapper_of(model)
        names = list(model._mapped_columns())
        stored = stored_forms(model, session)
        attributes = [*(getattr(model, name) for name in names), *stored.expressions]
        pk_index = names.index(model.pk_field())
        width = len(names)
        records: dict[Any, Record] = {}
        forms: dict[Any, RowForms] = {}
        # The statement, not the query: an ORM row costs more than the rest of its document.
        if isinstance(narrow, _Among):
            rows = _selected(
                session,
                model,
                stored,
                lambda: (
                    session.query(*attributes).filter(narrow.attribute.in_(_expanding())).statement
                ),
                narrow.keys,
            )
        else:
            rows = session.execute(narrow(session.query(*attributes)).statement).fetchall()
        for row in rows:
            pk = row[pk_index]
            records[pk] = dict(zip(names, row))
            if stored.expressions:
                forms[pk] = stored.of_row(row[width:])
        for prop in mapper.relationships:
            self._relate(session, model, prop, records, depth)
        type_name = model.__name__
        for pk, record in records.items():
            record["_type"] = type_name
            record["_pk"] = str(pk)
        return records, forms

    def _relate(
        self, session: Session, model: Any, prop: Any, records: dict[Any, Record], depth: int
    ) -> None:
        """Fill the relationship *prop* of *records*: keys, or nested documents."""
        # An object that is linked twice is loaded once.
        related: dict[Any, dict[Any, None]] = defaultdict(dict)
        for owner, target in related_keys(session, model, prop, list(records)):
            related[owner][target] = None
        documents: Optional[dict[Any, Record]] = None
        if prop.key in model._nested_relationships and depth > 0:
            documents = self._nested(
                session,
                prop.mapper.class_,
                {target for targets in related.values() for target in targets},
                depth - 1,
            )
        for pk, record in records.items():
            targets = list(related.get(pk, ()))
            values = targets
            if documents is not None:
                # One may be deleted since its key was read: its delete indexes this document again.
                values = [documents[each] for each in targets if each in documents]
            if prop.uselist:
                record[prop.key] = values
            else:
                record[prop.key] = values[0] if values else None

    def _nested(self, session: Session, model: Any, pks: set[Any], depth: int) -> dict[Any, Record]:
        serializer = self.serializers.of(model)
        pk = schema.pk_attribute(model)
        documents: dict[Any, Record] = {}
        for part in chunks(pks, KEYS_PER_QUERY):
            records, forms = self._records(session, model, _Among(pk, part), depth)
            for each, record in records.items():
                exact = forms[each].exact if each in forms else None
                documents[each] = serializer.document(record, exact)[0]
        return documents


class _Among:
    """Restricts a query to the rows *keys*."""

    def __init__(self, attribute: Any, keys: list[Any]) -> None:
        self.attribute = attribute
        self.keys = keys

    def __call__(self, query: Any) -> Any:
        return query.filter(self.attribute.in_(self.keys))


def _expanding() -> Any:
    return bindparam(_KEYS, expanding=True)


def _selected(
    session: Session, model: Any, name: Any, query: Callable[[], Any], keys: list[Any]
) -> list[Any]:
    """Return the rows of a statement that is made and compiled once.

    :param model: that it reads.
    :param name: identifies it among the statements on *model*.
    :param query: makes it, with :func:`_expanding` for the keys.
    """
    statement = _STATEMENTS.get((model, name))
    if statement is None:
        statement = _STATEMENTS[model, name] = query()
    connection = session.connection(model.__mapper__).execution_options(compiled_cache=_COMPILED)
    return list(connection.execute(statement, {_KEYS: keys}))


def _between(attribute: Any, first: Any, last: Any, query: Any) -> Any:
    """Return *query* restricted to the rows of the keys *first* to *last*, in their order."""
    return query.filter(attribute >= first, attribute <= last).order_by(attribute)


def related_keys(session: Session, model: Any, prop: Any, keys: list[Any]) -> list[Any]:
    """Return pairs (key of an owner, key of a target) of the relationship *prop* of *model*.

    In the order of the relationship, by target key where it has none.

    :param keys: of owners: only these.
    """

    def query() -> Any:
        dependency = Dependency(model, prop)
        if dependency.joinable and all(map(is_adaptable, prop.order_by or ())):
            return dependency.key_pairs(_expanding())
        target_model = prop.mapper.class_
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

    pairs: list[Any] = []
    for part in chunks(keys, KEYS_PER_QUERY):
        pairs += _selected(session, model, prop, query, part)
    return pairs
