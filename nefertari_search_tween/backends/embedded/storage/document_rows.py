"""From a document to its rows: values for columns, terms for the table of terms."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any, Optional

from nefertari_search_tween.backends.embedded.storage.fields import Field, Level, Malformed
from nefertari_search_tween.backends.embedded.storage.mapping import (
    SKIPPED,
    Index,
    ObjectMapping,
    dynamic_mapping,
)
from nefertari_search_tween.backends.embedded.text import phrases, tokenizer

_SCALARS = frozenset({str, int, float, bool})


class NewField(Exception):
    """The document has a field that the mapping lacks."""


@dataclasses.dataclass
class Row:
    """One document of one level, ready to be written.

    :param posts: (field, term, frequency, length of the text, positions).
    """

    level: Level
    values: dict[int, Any] = dataclasses.field(default_factory=dict)
    lists: dict[int, list[Any]] = dataclasses.field(default_factory=dict)
    posts: list[tuple[int, str, int, int, Any]] = dataclasses.field(default_factory=list)
    lengths: dict[int, int] = dataclasses.field(default_factory=dict)
    children: list[Row] = dataclasses.field(default_factory=list)

    def each(self) -> Iterator[Row]:
        """Yield this row and those of its nested documents, in the order of their numbers."""
        yield self
        for child in self.children:
            yield from child.each()


class Reader:
    """Reads documents by the mapping of *index*.

    :param grow: add unknown fields to the mapping (else :class:`NewField` is raised).
    """

    def __init__(self, index: Index, grow: bool = False) -> None:
        self.index = index
        self.grow = grow
        self.grown = False

    def row(self, body: bytes) -> Row:
        """Return the row of a document with its nested documents' rows as children.

        :raises Malformed: it does not fit the mapping.
        """
        try:
            source = json.loads(body)
            body.decode("utf-8")
        except (ValueError, RecursionError) as problem:
            raise Malformed(f"failed to parse: {problem}") from problem
        if not isinstance(source, dict):
            raise Malformed("failed to parse: a document is a JSON object")
        return self._level_row(source, self.index.root)

    def _level_row(self, source: dict[str, Any], node: ObjectMapping) -> Row:
        row = Row(node.level)
        raw: dict[int, tuple[Field, list[Any]]] = {}
        self._object(source, node, row, raw)
        for field, values in raw.values():
            _fill(row, field, values)
        return row

    def _object(
        self,
        source: dict[str, Any],
        node: ObjectMapping,
        row: Row,
        raw: dict[int, tuple[Field, list[Any]]],
    ) -> None:
        for key, value in source.items():
            if value is None:
                child = node.children.get(key)
                if not isinstance(child, Field) or child.null_value is None:
                    continue
            child = node.children.get(key) or self._unknown(node, key, value)
            if child is SKIPPED or child is None:
                continue
            if isinstance(child, Field):
                if type(value) in _SCALARS and child.number not in raw:
                    raw[child.number] = (child, [value])
                else:
                    self._leaf(child, value, raw)
                continue
            for each in _flat(value):
                if each is None:
                    continue
                if not isinstance(each, dict):
                    raise Malformed(
                        f"object mapping for [{node.prefix}{key}] tried to parse field "
                        f"[{node.prefix}{key}] as object, but found a concrete value"
                    )
                if child.level is node.level:
                    self._object(each, child, row, raw)
                else:
                    row.children.append(self._level_row(each, child))

    def _unknown(self, node: ObjectMapping, key: str, value: Any) -> Any:
        if "." in key:
            first, _, rest = key.partition(".")
            child = node.children.get(first)
            if isinstance(child, ObjectMapping) and rest in child.children:
                return child.children[rest]
        if node.dynamic == "strict":
            raise Malformed(
                f"mapping set to strict, dynamic introduction of [{key}] within "
                f"[{node.prefix[:-1] or '_doc'}] is not allowed"
            )
        if node.dynamic == "false":
            return None
        spec = dynamic_mapping(value)
        if spec is None:
            return None
        if not self.grow:
            raise NewField(key)
        self.grown = True
        return self.index.add_key(node, key, spec)

    @staticmethod
    def _leaf(field: Field, value: Any, raw: dict[int, tuple[Field, list[Any]]]) -> None:
        values = raw.setdefault(field.number, (field, []))[1]
        for each in _flat(value):
            if each is None:
                each = field.null_value
                if each is None:
                    continue
            if isinstance(each, dict):
                if field.ignore_malformed:
                    continue
                raise Malformed(
                    f"failed to parse field [{field.name}] of type [{field.type}]: an object"
                )
            values.append(each)


def _flat(value: Any) -> list[Any]:
    if not isinstance(value, list):
        return [value]
    if any(isinstance(each, list) for each in value):
        return [leaf for each in value for leaf in _flat(each)]
    return value


def _fill(row: Row, field: Field, raw: list[Any]) -> None:
    """Index the values *raw* of one field, and its subfields."""
    values = []
    for each in raw:
        try:
            value = field.value(each)
        except Malformed as problem:
            if field.ignore_malformed:
                continue
            raise Malformed(
                f"failed to parse field [{field.name}] of type [{field.type}]: {problem}"
            ) from problem
        if value is not None:
            values.append(value)
    for sub in field.subfields:
        _fill(row, sub, raw)
    if not values:
        return
    if field.kind == "text":
        _post(row, field, values)
    elif len(values) == 1:
        row.values[field.number] = values[0]
    else:
        if field.kind in ("keyword", "boolean"):
            values = list(set(values))
        values.sort()
        row.values[field.number] = values[0]
        if len(values) > 1:
            row.lists[field.number] = values


def _post(row: Row, field: Field, values: list[str]) -> None:
    positions_by_term: dict[str, list[int]] = {}
    base, count = 0, 0
    for value in values:
        terms = tokenizer.terms(value)
        for position, term in enumerate(terms, base):
            positions = positions_by_term.get(term)
            if positions is None:
                positions_by_term[term] = [position]
            else:
                positions.append(position)
        count += len(terms)
        base += len(terms) + tokenizer.POSITION_GAP
    number, length = field.number, quantized(count)
    row.lengths[number] = row.values[number] = count
    row.posts.extend(
        [
            (number, term, len(positions), length, phrases.encode(positions))
            for term, positions in positions_by_term.items()
        ]
    )


def quantized(length: int) -> int:
    """Return a text's length as Lucene stores it, in one byte: exact up to 40, then coarser.

    ``SmallFloat.intToByte4`` and back.
    """
    if length < 40:
        return length
    rest = length - 24
    shift = max(rest.bit_length() - 4, 0)
    return 24 + ((rest >> shift) << shift)


def prepare(body: Optional[bytes], index: Any) -> tuple[Optional[Row], Optional[Malformed]]:
    """Return the row of a document, or what is wrong with it.

    Both are None if only the writer can tell, and of no document.

    :param index: an index, or the error object of one that does not exist.
    """
    if body is None or not isinstance(index, Index):
        return None, None
    try:
        return Reader(index).row(body), None
    except NewField:
        return None, None
    except Malformed as problem:
        return None, problem
