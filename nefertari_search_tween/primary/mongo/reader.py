"""Reads objects of nefertari_mongodb models as document bodies.

As the database has them: raw documents, each made into one object. The related ones come with one
query for each relationship and chunk; MongoEngine would query each object.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, Optional

from pymongo.errors import CursorNotFound

from nefertari_search_tween.chunks import chunks
from nefertari_search_tween.documents.fields import BaseField, Relationship
from nefertari_search_tween.documents.format import INEXACT
from nefertari_search_tween.interfaces.primary import Body
from nefertari_search_tween.known_code import outside_request
from nefertari_search_tween.mirror.serializer import Serializer, Serializers, body_or_error
from nefertari_search_tween.primary.mongo import schema
from nefertari_search_tween.primary.mongo.collections import collection_of, keys_filter

Record = dict[str, Any]

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
        self.renders_by_itself = schema.renders_by_itself(model, model._nesting_depth)

    def read(self, pks: Iterable[Any]) -> dict[Any, Body]:
        bodies: dict[Any, Body] = {}
        for part in chunks(pks, KEYS_PER_QUERY):
            cursor = collection_of(self.model).find(keys_filter(part))
            bodies.update(self._bodies(list(cursor)))
        return bodies

    def scan(self, chunk: int, after: Optional[Any] = None) -> Iterator[list[tuple[Any, Body]]]:
        while True:
            try:
                for rows in self._chunks(chunk, after):
                    yield list(self._bodies(rows).items())
                    after = rows[-1]["_id"]
                return
            except CursorNotFound:
                # The server has closed it, or is another one by now.
                continue

    def _chunks(self, chunk: int, after: Optional[Any]) -> Iterator[list[Record]]:
        """Yield all objects after the key *after* by one cursor: one sort for any number."""
        condition = {} if after is None else {"_id": {"$gt": after}}
        with collection_of(self.model).find(condition).sort("_id", 1).batch_size(chunk) as cursor:
            yield from chunks(cursor, chunk)

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
        bodies: dict[Any, Body] = {}
        serializer = self.serializers.of(self.model)
        records = self._records(self.model, rows, self.model._nesting_depth)
        for pk, record in records.items():
            bodies[pk] = record if isinstance(record, Exception) else _body(serializer, record)
        return bodies

    def _by_itself(self, row: Record) -> Body:
        """Return the body of one object by the application's own ``to_dict``."""
        try:
            with outside_request():
                data = self._converted(self.model, dict(self.model._from_son(row).to_dict()))
        except Exception as error:  # noqa: BLE001 - the application's own to_dict
            return error
        return _body(self.serializers.of(self.model), data)

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
                    record = serializer.document(record)[0]
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
    """Return *value* without MongoEngine's classes of lists and dictionaries."""
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
