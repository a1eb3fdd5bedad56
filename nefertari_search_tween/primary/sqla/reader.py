"""Reads objects of nefertari_sqla models as document bodies.

If the document is the same, columns are read and no objects are made: related keys and nested
documents come with one query per relationship and chunk, not one per object.
"""

from __future__ import annotations

import logging
import operator
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Callable, Optional

from sqlalchemy import bindparam
from sqlalchemy.exc import DataError, DBAPIError
from sqlalchemy.orm import Session

from nefertari_search_tween.chunks import chunks
from nefertari_search_tween.exceptions import ConfigurationError
from nefertari_search_tween.interfaces.primary import ALL_KEYS, Body, KeyRange, RequestHooks
from nefertari_search_tween.mirror.serializer import Serializers, body_or_error
from nefertari_search_tween.primary.read_limit import ReadLimit
from nefertari_search_tween.primary.sqla import schema
from nefertari_search_tween.primary.sqla.objects import ObjectRenderer, row_bytes
from nefertari_search_tween.primary.sqla.plain_query import KEYS_PER_QUERY, PlainQuery
from nefertari_search_tween.primary.sqla.proof.stored_forms import RowForms, stored_forms
from nefertari_search_tween.primary.sqla.row_queries import (
    Among,
    Between,
    Narrow,
    existing_keys,
    key_column,
    related_keys,
    selected,
)

log = logging.getLogger(__name__)

# Names of the parameters that bound a query of keys, and how.
_BOUNDS = {"after": operator.gt, "until": operator.le, "before": operator.lt}

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
        for part in chunks(pks, KEYS_PER_QUERY):
            # One is read alone, whatever it has.
            sizes = dict(self._each(part, self._sizes)) if len(part) > 1 else {}
            yield from self._limit.parts(((each, sizes.get(each, 0)) for each in part), most)

    def _sizes(self, session: Session, keys: list[Any]) -> Iterable[Any]:
        """Return pairs of a key and the bytes of its row."""
        among = Among(schema.pk_attribute(self.model), keys)
        return selected(
            session,
            self.model,
            ("sizes", session.get_bind().dialect.name),
            lambda: among.of_parameters(self._sized(session)).statement,
            among.parameters,
        )

    def _keys(self, most: int, keys: KeyRange, descending: bool) -> Iterator[list[Any]]:
        """Yield the *keys* that objects have, in their order, in lists to read at once."""
        bounds: dict[str, Any] = {
            name: key for name, key in keys._asdict().items() if key is not None
        }
        while True:
            unreadable = self._unreadable()
            if unreadable is not None:
                raise unreadable
            with self._session() as session:
                rows = selected(
                    session,
                    self.model,
                    ("keys", session.get_bind().dialect.name, most, descending, *bounds),
                    lambda: self._keys_query(session, most, descending, bounds),
                    bounds,
                )
            if not rows:
                return
            yield from self._limit.parts(rows, most)
            bounds["before" if descending else "after"] = rows[-1][0]

    def _keys_query(
        self, session: Session, most: int, descending: bool, bounds: Iterable[str]
    ) -> Any:
        """Return the query of the next keys between *bounds*, names of :data:`_BOUNDS`."""
        pk = schema.pk_attribute(self.model)
        query = self._sized(session).filter(
            *(_BOUNDS[name](pk, bindparam(name)) for name in bounds)
        )
        return query.order_by(pk.desc() if descending else pk).limit(most).statement

    def key_after(self, after: Optional[Any], count: int) -> Optional[Any]:
        pk = schema.pk_attribute(self.model)
        with self._session() as session:
            query = session.query(pk) if after is None else session.query(pk).filter(pk > after)
            row = query.order_by(pk).offset(count - 1).first()
        return None if row is None else row[0]

    def _sized(self, session: Session) -> Any:
        return session.query(schema.pk_attribute(self.model), row_bytes(self.model, session))

    def _each(
        self, pks: list[Any], query: Callable[[Session, list[Any]], Iterable[Any]]
    ) -> list[Any]:
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
        return {
            each
            for part in chunks(pks, KEYS_PER_QUERY)
            for each in self._each(
                part, lambda session, keys: existing_keys(session, self.model, keys)
            )
        }

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
        among = Among(schema.pk_attribute(self.model), pks)
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
        self, among: Among, error: DBAPIError, make: Callable[[Session, Any], Any]
    ) -> bool:
        """Return True if the database rejects this object with the same error."""
        try:
            with self._session() as session:
                make(session, among)
        except DBAPIError as again:
            return str(again.orig) == str(error.orig) and not again.connection_invalidated
        return False

    def scan(self, chunk: int, keys: KeyRange = ALL_KEYS) -> Iterator[list[tuple[Any, Body]]]:
        pk = schema.pk_attribute(self.model)
        for part in self._keys(chunk, keys, descending=False):
            try:
                with self._session() as session:
                    bodies = self._bodies(session, Between(pk, part[0], part[-1]))
            except Exception as error:  # noqa: BLE001 - raised by `read` unless it is a row's
                log.info("%s is read one by one around %r: %s", self.model, part[0], error)
                bodies = self.read(part)
            self._limit.measure(bodies)
            if bodies:
                yield list(bodies.items())

    def scan_objects(
        self, chunk: int, keys: KeyRange = ALL_KEYS
    ) -> Iterator[list[tuple[Any, Body]]]:
        # Backwards, and by the keys: what `scan` would skip is here.
        for part in self._keys(chunk, keys, descending=True):
            yield list(self.read_objects(part).items())

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

    def _bodies(self, session: Session, narrow: Narrow) -> dict[Any, Body]:
        if not self.columns_suffice:
            return self._object_bodies(session, narrow)
        serializer = self.serializers.of(self.model)
        records, forms = self._records(session, self.model, narrow, self.model._nesting_depth)
        return {
            pk: body_or_error(serializer, record, *forms.get(pk, ()))
            for pk, record in records.items()
        }

    def _object_bodies(self, session: Session, narrow: Narrow) -> dict[Any, Body]:
        return self._objects.bodies(session, narrow)

    # Columns

    def _records(
        self, session: Session, model: Any, narrow: Narrow, depth: int
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
        rows = selected(
            session,
            model,
            (stored, type(narrow)),
            lambda: narrow.of_parameters(session.query(*attributes)).statement,
            narrow.parameters,
        )
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
        target = prop.mapper.class_
        nested = prop.key in model._nested_relationships and depth > 0

        def values_of(keys: set[Any]) -> dict[Any, Any]:
            """Return what documents show of the targets *keys*, by key; only of those that exist.

            One may be deleted since its key was read: its delete indexes these documents again.
            """
            if nested:
                return self._nested(session, target, keys, depth - 1)
            return {key: key for key in existing_keys(session, target, keys)}

        column = key_column(model, prop)
        unknown = set(records)
        if column is not None:
            keys = {record[column] for record in records.values()} - {None}
            values = values_of(keys)
            for pk, record in records.items():
                if record[column] is None or record[column] in values:
                    record[prop.key] = values.get(record[column])
                    unknown.remove(pk)
        if not unknown:
            return
        related = related_keys(session, model, prop, list(unknown))
        values = (
            values_of({each for targets in related.values() for each in targets}) if nested else {}
        )
        for pk in unknown:
            targets = related.get(pk, ())
            listed = [values[each] for each in targets if each in values] if nested else [*targets]
            if prop.uselist:
                records[pk][prop.key] = listed
            else:
                records[pk][prop.key] = listed[0] if listed else None

    def _nested(self, session: Session, model: Any, pks: set[Any], depth: int) -> dict[Any, Any]:
        serializer = self.serializers.of(model)
        pk = schema.pk_attribute(model)
        documents: dict[Any, Any] = {}
        for part in chunks(pks, KEYS_PER_QUERY):
            records, forms = self._records(session, model, Among(pk, part), depth)
            for each, record in records.items():
                exact = forms[each].exact if each in forms else None
                documents[each] = serializer.nested(record, exact)
        return documents
