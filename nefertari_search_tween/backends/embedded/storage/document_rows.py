"""A document -> its rows: values for columns, terms for the table of terms."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from nefertari_search_tween.backends.embedded.storage.fields import Field, Level, Malformed
from nefertari_search_tween.backends.embedded.storage.mapping import (
    SKIPPED,
    Index,
    Node,
    dynamic_mapping,
)
from nefertari_search_tween.backends.embedded.text import phrases, tokenizer

# What a document has posted, as a text: for each of its rows, the row's number, and then field
# and term by turns. These two characters are in no term.
ITEM, PART = "\x01", "\x02"
_SCALARS = frozenset({str, int, float, bool})


class NewField(Exception):
    """The document has a field that the mapping has not (yet)."""


@dataclass
class Row:
    """One document of one level, ready to be written.

    :param posts: (field, term, frequency, length of the text, positions).
    :param posted: which terms these are, as a text.
    """

    level: Level
    values: dict[int, Any] = field(default_factory=dict)
    lists: dict[int, list[Any]] = field(default_factory=dict)
    posts: list[tuple[int, str, int, int, Any]] = field(default_factory=list)
    posted: str = ""
    lengths: dict[int, int] = field(default_factory=dict)
    children: list[Row] = field(default_factory=list)


class Reader:
    """Reads documents as the mapping of *index* says.

    :param grow: put unknown fields into the mapping (else :class:`NewField`).
    """

    def __init__(self, index: Index, grow: bool = False) -> None:
        self.index = index
        self.grow = grow
        self.grown = False

    def row(self, body: bytes) -> Row:
        """The row of a document, its nested documents' rows under it.

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

    def _level_row(self, source: dict[str, Any], node: Node) -> Row:
        row = Row(node.level)
        raw: dict[int, tuple[Field, list[Any]]] = {}
        self._object(source, node, row, raw)
        for made, values in raw.values():
            _fill(row, made, values)
        row.posted = PART.join([f"{post[0]}{PART}{post[1]}" for post in row.posts])
        return row

    def _object(
        self,
        source: dict[str, Any],
        node: Node,
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

    def _unknown(self, node: Node, key: str, value: Any) -> Any:
        if "." in key:
            first, _, rest = key.partition(".")
            child = node.children.get(first)
            if isinstance(child, Node) and rest in child.children:
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
        return self.index.add(node, key, spec)

    @staticmethod
    def _leaf(made: Field, value: Any, raw: dict[int, tuple[Field, list[Any]]]) -> None:
        values = raw.setdefault(made.number, (made, []))[1]
        for each in _flat(value):
            if each is None:
                each = made.null_value
                if each is None:
                    continue
            if isinstance(each, dict):
                if made.ignore_malformed:
                    continue
                raise Malformed(
                    f"failed to parse field [{made.name}] of type [{made.type}]: an object"
                )
            values.append(each)


def _flat(value: Any) -> list[Any]:
    if not isinstance(value, list):
        return [value]
    if any(isinstance(each, list) for each in value):
        return [leaf for each in value for leaf in _flat(each)]
    return value


def _fill(row: Row, made: Field, raw: list[Any]) -> None:
    """Index the values *raw* of one field, and its subfields."""
    values = []
    for each in raw:
        try:
            value = made.value(each)
        except Malformed as problem:
            if made.ignore_malformed:
                continue
            raise Malformed(
                f"failed to parse field [{made.name}] of type [{made.type}]: {problem}"
            ) from problem
        if value is not None:
            values.append(value)
    for sub in made.subfields:
        _fill(row, sub, raw)
    if not values:
        return
    if made.kind == "text":
        _post(row, made, values)
    elif len(values) == 1:
        row.values[made.number] = values[0]
    else:
        if made.kind in ("keyword", "boolean"):
            values = list(set(values))
        values.sort()
        row.values[made.number] = values[0]
        if len(values) > 1:
            row.lists[made.number] = values


def _post(row: Row, made: Field, values: list[str]) -> None:
    found: dict[str, list[int]] = {}
    base, count = 0, 0
    for value in values:
        terms = tokenizer.terms(value)
        for position, term in enumerate(terms, base):
            places = found.get(term)
            if places is None:
                found[term] = [position]
            else:
                places.append(position)
        count += len(terms)
        base += len(terms) + tokenizer.POSITION_GAP
    number, length = made.number, quantized(count)
    row.lengths[number] = row.values[number] = count
    row.posts.extend(
        [
            (number, term, len(places), length, phrases.encode(places))
            for term, places in found.items()
        ]
    )


def quantized(length: int) -> int:
    """A text's length as Lucene keeps it, in one byte: exact up to 40, then coarser.

    ``SmallFloat.intToByte4`` and back.
    """
    if length < 40:
        return length
    rest = length - 24
    shift = max(rest.bit_length() - 4, 0)
    return 24 + ((rest >> shift) << shift)
