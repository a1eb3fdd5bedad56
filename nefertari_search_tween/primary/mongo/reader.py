"""Reads objects of nefertari_mongodb models as document bodies.

As the database has them: raw documents, each made into one object. The related ones come with one
query for each relationship and chunk; MongoEngine would query each object.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, Callable, Optional

from bson import ObjectId, encode
from bson.errors import InvalidBSON
from pymongo.errors import CursorNotFound

from nefertari_search_tween.chunks import chunks
from nefertari_search_tween.documents.fields import BaseField, Relationship
from nefertari_search_tween.documents.format import INEXACT
from nefertari_search_tween.interfaces.primary import ALL_KEYS, Body, KeyRange
from nefertari_search_tween.known_code import outside_request
from nefertari_search_tween.mirror.serializer import Serializer, Serializers, body_or_error
from nefertari_search_tween.primary.mongo import schema
from nefertari_search_tween.primary.mongo.collections import collection_of, keys_filter
from nefertari_search_tween.primary.read_limit import ReadLimit

Record = dict[str, Any]
_Make = Callable[[list[Record]], dict[Any, Body]]

KEYS_PER_QUERY = 5000
# "2001-02-03": texts of other lengths sort in another order than their days.
_DAY_LENGTH = 10


class Dangling(ValueError):
    """An object refers to one that does not exist: the primary can't render it either."""


class MongoReader:
    """See :class:`~nefertari_search_tween.interfaces.primary.Reader`.

    There are no transactions: each query sees what was written before it. What changes
    between two of them has its own key in the outbox.
    """

    def __init__(self, model: Any, serializers: Serializers) -> None:
        self.model = model
        self.serializers = serializers
        self._limit = ReadLimit()
        self.renders_by_itself = schema.renders_by_itself(model, model._nesting_depth)

    def split(self, pks: Iterable[Any], most: int) -> Iterator[list[Any]]:
        return self._limit.parts(((pk, 0) for pk in pks), most)

    def read(self, pks: Iterable[Any]) -> dict[Any, Body]:
        return self._read(pks, self._bodies)

    def read_objects(self, pks: Iterable[Any]) -> dict[Any, Body]:
        return self._read(pks, self._object_bodies)

    def _read(self, pks: Iterable[Any], make: _Make) -> dict[Any, Body]:
        bodies: dict[Any, Body] = {}
        for part in chunks(pks, KEYS_PER_QUERY):
            bodies.update(self._readable(part, make))
        self._limit.measure(bodies)
        return bodies

    def _readable(self, pks: list[Any], make: _Make) -> dict[Any, Body]:
        """Return the bodies of *pks*. One that the driver can't decode (a date beyond those of
        Python, say) has the error as its body, and does not affect the others."""
        try:
            return make(list(collection_of(self.model).find(keys_filter(pks))))
        except InvalidBSON as error:
            if len(pks) == 1:
                return {pks[0]: error}
        middle = len(pks) // 2
        return {**self._readable(pks[:middle], make), **self._readable(pks[middle:], make)}

    def scan(self, chunk: int, keys: KeyRange = ALL_KEYS) -> Iterator[list[tuple[Any, Body]]]:
        return self._scan(chunk, keys, self._bodies)

    def scan_objects(
        self, chunk: int, keys: KeyRange = ALL_KEYS
    ) -> Iterator[list[tuple[Any, Body]]]:
        return self._scan(chunk, keys, self._object_bodies)

    def _scan(self, chunk: int, keys: KeyRange, make: _Make) -> Iterator[list[tuple[Any, Body]]]:
        while True:
            try:
                for rows in self._chunks(chunk, keys):
                    bodies = make(rows)
                    self._limit.measure(bodies)
                    yield list(bodies.items())
                    keys = keys._replace(after=rows[-1]["_id"])
                return
            except CursorNotFound:
                # The server has closed it, or is another one by now.
                continue
            except InvalidBSON:
                # Of a document among the next ones: those are read by their keys.
                pks = [row["_id"] for row in self._between(keys, {"_id": 1}).limit(chunk)]
                for part in self.split(pks, chunk):
                    yield list(self._read(part, make).items())
                    keys = keys._replace(after=part[-1])

    def key_after(self, after: Optional[Any], count: int) -> Optional[Any]:
        rows = list(self._between(KeyRange(after), {"_id": 1}).skip(count - 1).limit(1))
        return rows[0]["_id"] if rows else None

    def _between(self, keys: KeyRange, fields: Optional[dict[str, int]] = None) -> Any:
        bounds = {"$gt": keys.after, "$lte": keys.until}
        condition = {name: key for name, key in bounds.items() if key is not None}
        conditions = {"_id": condition} if condition else {}
        return collection_of(self.model).find(conditions, fields).sort("_id", 1)

    def _chunks(self, chunk: int, keys: KeyRange) -> Iterator[list[Record]]:
        """Yield all objects with these *keys* by one cursor: one sort for any number."""
        # The driver has a batch in memory: up to 16 MB, whatever its number of documents.
        with self._between(keys).batch_size(chunk) as cursor:
            yield from self._limit.parts(((row, len(encode(row))) for row in cursor), chunk)

    def existing(self, pks: Iterable[Any]) -> set[Any]:
        existing: set[Any] = set()
        for part in chunks(pks, KEYS_PER_QUERY):
            rows = collection_of(self.model).find(keys_filter(part), {"_id": 1})
            existing.update(row["_id"] for row in rows)
        return existing

    def key(self, text: str) -> Any:
        if "\0" in text:
            raise ValueError("no key holds a null character")
        return schema.parse_key(self.model, text)

    def count(self) -> int:
        return int(collection_of(self.model).count_documents({}))

    def _bodies(self, rows: list[Record]) -> dict[Any, Body]:
        """Return the bodies by key. An object that can't be rendered has the error as its body, and
        does not affect the others."""
        if self.renders_by_itself:
            return {row["_id"]: self._by_itself(row) for row in rows}
        serializer = self.serializers.of(self.model)
        try:
            records = self._records(self.model, rows, self.model._nesting_depth)
        except Exception as error:  # noqa: BLE001 - of an object that they refer to, or of a reference
            if len(rows) == 1:
                return {rows[0]["_id"]: error}
            return {pk: body for row in rows for pk, body in self._bodies([row]).items()}
        return {
            pk: record if isinstance(record, Exception) else _body(serializer, record)
            for pk, record in records.items()
        }

    def _object_bodies(self, rows: list[Record]) -> dict[Any, Body]:
        """Return the same by the objects' own ``to_dict``, which queries for each relationship."""
        if self.renders_by_itself:
            return self._bodies(rows)
        return {row["_id"]: self._by_itself(row, self._inexact_names) for row in rows}

    def _inexact_names(self, row: Record) -> list[str]:
        """Return the fields whose stored values are not what the object has."""
        relationships = {each.name for each in schema.references(self.model)}
        stored = {each.stored for each in schema.references(self.model)}
        item = self.model._from_son({key: row[key] for key in row.keys() - stored})
        exact = self.serializers.document_cls(self.model).fields()
        return [
            name
            for name, field in schema.rendered_fields(self.model).items()
            if name not in relationships
            and not _as_stored(
                exact[name], field, row.get(field.db_field), plain(getattr(item, name, None))
            )
        ]

    def _by_itself(
        self, row: Record, inexact: Callable[[Record], Iterable[str]] = lambda row: ()
    ) -> Body:
        """Return the body of one object by the model's ``to_dict``.

        :param inexact: returns the names of fields whose values the document can't hold.
        """
        try:
            with outside_request():
                data = self._converted(self.model, dict(self.model._from_son(row).to_dict()))
            names = inexact(row)
        except Exception as error:  # noqa: BLE001 - the application's own to_dict
            return error
        return body_or_error(self.serializers.of(self.model), data, inexact=names)

    def _converted(self, model: Any, data: Record) -> Record:
        """Return *data* (the application's ``to_dict``) with its nested documents serialized."""
        for reference in schema.references(model):
            value = data.get(reference.name)
            serializer = self.serializers.of(reference.target)
            if isinstance(value, list):
                data[reference.name] = [
                    serializer.document(self._converted(reference.target, dict(each)))[0]
                    if isinstance(each, dict)
                    else each
                    for each in value
                ]
            elif isinstance(value, dict):
                converted = self._converted(reference.target, dict(value))
                data[reference.name] = serializer.document(converted)[0]
        for name, value in data.items():
            data[name] = plain(value)
        return data

    # What ``to_dict`` would return for raw documents, with as few queries as possible.

    def _records(self, model: Any, rows: list[Record], depth: int) -> dict[Any, Any]:
        """Return the records by key, in the order of *rows*; an error for one that can't be made.

        :param depth: how many more levels of nested relationships there are.
        """
        references = {each.name: each for each in schema.references(model)}
        related = {
            name: self._related(model, each, rows, depth) for name, each in references.items()
        }
        records: dict[Any, Any] = {}
        for row in rows:
            try:
                records[row["_id"]] = self._record(model, row, references, related)
            except Exception as error:  # noqa: BLE001 - of one object, whatever is wrong with it
                records[row["_id"]] = error
        return records

    def _record(
        self, model: Any, row: Record, references: Any, related: dict[str, dict[Any, Any]]
    ) -> Record:
        stored = {each.stored for each in references.values()}
        item = model._from_son({name: value for name, value in row.items() if name not in stored})
        fields = self.serializers.document_cls(model).fields()
        record: Record = {}
        inexact = []
        for name, field in schema.rendered_fields(model).items():
            reference = references.get(name)
            if reference is not None:
                record[name] = _related_values(reference, row.get(reference.stored), related[name])
                continue
            value = record[name] = plain(getattr(item, name, None))
            if not _as_stored(fields[name], field, row.get(field.db_field), value):
                inexact.append(name)
        record["_type"] = model.__name__
        record["_pk"] = str(getattr(item, model.pk_field()))
        if inexact:
            record[INEXACT] = inexact
        return record

    def _related(
        self, model: Any, reference: schema.Reference, rows: list[Record], depth: int
    ) -> dict[Any, Any]:
        """Return the values in documents of the objects that *rows* refer to, by key."""
        target = reference.target
        referenced = {
            key
            for row in rows
            for key in referred(row.get(reference.stored), reference.many)
            if key is not None
        }
        nested = reference.name in model._nested_relationships and depth > 0
        related: dict[Any, Any] = {}
        for part in chunks(referenced, KEYS_PER_QUERY):
            condition = keys_filter(part)
            if not nested:
                cursor = collection_of(target).find(condition, {"_id": 1})
                related.update({row["_id"]: _own_key(target, row["_id"]) for row in cursor})
                continue
            serializer = self.serializers.of(target)
            targets = list(collection_of(target).find(condition))
            for pk, record in self._records(target, targets, depth - 1).items():
                if isinstance(record, dict):
                    record.pop(INEXACT, None)
                    record = serializer.nested(record)
                related[pk] = record
        return related


def _related_values(reference: schema.Reference, stored: Any, related: dict[Any, Any]) -> Any:
    """Return the value in a document of the objects that it refers to.

    :raises Dangling: one of them does not exist.
    """
    values = []
    for key in referred(stored, reference.many):
        if key not in related:
            raise Dangling(f"{reference.name} refers to {key!r}, which does not exist")
        value = related[key]
        if isinstance(value, Exception):
            raise value
        values.append(value)
    if reference.many:
        return values
    return values[0] if values else None


def referred(stored: Any, many: bool) -> list[Any]:
    """Return the keys in the value *stored* of a reference: plain keys, or within a DBRef."""
    if stored is None:
        return []
    values = stored if many and isinstance(stored, list) else [stored]
    return [getattr(each, "id", each) for each in values]


def _own_key(model: Any, pk: Any) -> Any:
    """Return a key as documents have it: an ObjectId as its text."""
    return str(pk) if schema.has_made_keys(model) else pk


def plain(value: Any) -> Any:
    """Return *value* without MongoEngine's classes of lists and dictionaries, and an ObjectId as
    nefertari_mongodb renders it, as its text."""
    if isinstance(value, ObjectId):
        return str(value)
    if isinstance(value, dict) and type(value).__module__.startswith(("mongoengine", "bson")):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value


def _as_stored(exact: BaseField, field: Any, stored: Any, value: Any) -> bool:
    """Return False if the database compares another value than the object has.

    A default that the stored document lacks, a text where the field has numbers, a number with
    more digits than the field rounds to.
    """
    if isinstance(exact, Relationship) or exact.kind in ("opaque", "list"):
        # Never compared.
        return True
    if stored is None or value is None:
        return stored is value
    if type(stored) is float and stored == 0 and math.copysign(1, stored) < 0:
        # Lucene sorts it before 0.0.
        return False
    if type(stored) is type(value) and stored == value:
        return True
    try:
        again = field.to_mongo(value)
    except Exception:  # noqa: BLE001 - then it is certainly not what is stored
        return False
    if type(exact).__name__ == "DateField" and len(stored) != _DAY_LENGTH:
        return False
    same_kind = isinstance(again, bool) == isinstance(stored, bool)
    return bool(same_kind and again == stored)


def _body(serializer: Serializer, record: Record) -> Body:
    inexact = record.pop(INEXACT, ())
    return body_or_error(serializer, record, inexact=inexact)
