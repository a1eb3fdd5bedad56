"""The options of an aggregation request by their paths, and the fields that they may name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional, Protocol

from nefertari_search_tween.exceptions import BadQuery, Reason
from nefertari_search_tween.search.query.clauses import SEARCHABLE, Query
from nefertari_search_tween.search.query.fields import SearchField
from nefertari_search_tween.search.query.lucene import ClauseBudget
from nefertari_search_tween.settings.settings import Settings

#: kind of the placeholder for a field that the caller may not name
FORBIDDEN = Reason.FORBIDDEN
_INTERNAL_END = ".keyword"


class FieldLookup(Protocol):
    """The fields that a caller may name, of one model or of several.

    :ivar tie_breaker: the field that sorts equal documents.
    :ivar partial: documents contain fields that no caller may name here.
    """

    partial: bool

    @property
    def tie_breaker(self) -> str: ...

    @property
    def own_renderings(self) -> set[str]:
        """Return the names of code that changes what stored documents show."""

    def get(self, name: str) -> Optional[SearchField]:
        """Return the field *name*, None if the caller may see no such field."""

    def default(self) -> list[SearchField]:
        """Return the fields in which text without a field name is searched."""

    def objects_having(self, targets: Sequence[SearchField]) -> Optional[Query]:
        """Return a query for the objects that have all of *targets*; None if all do."""

    def of_index(self, index: str) -> FieldLookup:
        """Return the fields of documents in *index*: each model has its own rules."""


@dataclass
class AggregationContext:
    """One aggregation request while it is translated.

    :param fields: the fields that may be aggregated.
    :param visible: the fields that a response may contain (``top_hits``).
    :param restricted: privacy rules apply to the caller: an unknown name is rejected in the same
        way whether such a field exists or not.
    :param hides: the caller sees documents in part.
    :param max_documents: how many documents the response may show in all; None for any number.
    :param base: the query for all objects that the caller may see here.
    """

    fields: FieldLookup
    visible: FieldLookup
    settings: Settings
    restricted: bool
    hides: bool
    max_documents: Optional[int]
    base: Query
    budget: ClauseBudget
    #: fields that the caller may not name
    forbidden: list[str] = field(default_factory=list)
    #: aggregations so far
    count: int = 0
    #: type -> the parameter that first names it
    kinds: dict[str, str] = field(default_factory=dict)


@dataclass
class OptionPath:
    """One option (or aggregation) of a request.

    :param where: the parameter, as the caller writes it.
    :param targets: the fields that the aggregation names; shared by all of its options.
    """

    context: AggregationContext
    where: str
    targets: list[SearchField] = field(default_factory=list)

    def at(self, name: Any) -> OptionPath:
        """Return the path of the option *name* below this one."""
        return OptionPath(self.context, f"{self.where}.{name}", self.targets)

    def error(self, problem: str) -> BadQuery:
        """Return the error that reports *problem* here."""
        return BadQuery(self.where, problem)

    def resolve_name(self, value: Any) -> SearchField:
        """Return the field that *value* names.

        :raises BadQuery: it does not exist.
        """
        if not isinstance(value, str) or not value:
            raise self.error("the name of one field is expected")
        name = str(value)
        fields = self.context.fields
        target = fields.get(name)
        if target is None and name.endswith(_INTERNAL_END):
            # nefertari's users had to write this to get whole values.
            text_field = fields.get(name[: -len(_INTERNAL_END)])
            target = text_field if text_field is not None and text_field.kind == "text" else None
        if target is None:
            # A nested relationship itself: the keys of its documents.
            target = fields.get(f"{name}._pk")
        if target is None:
            if not self.context.restricted:
                raise self.error(f"there is no field '{name[:60]}'")
            self.context.forbidden.append(name)
            target = SearchField(name, FORBIDDEN)
        if target.joins:
            raise self.error(
                f"'{name[:60]}' is in the index of other documents, whose fields can't be "
                "aggregated from here"
            )
        self.targets.append(target)
        return target

    def resolve_field(self, value: Any, kinds: frozenset[str] = SEARCHABLE) -> SearchField:
        """Return the field that *value* names, which must be of one of *kinds*."""
        target = self.resolve_name(value)
        if target.kind not in kinds and target.kind != FORBIDDEN:
            if target.kind not in SEARCHABLE:
                raise self.error(f"the values of '{target.name}' can't be aggregated")
            raise self.error(
                f"'{target.name}' holds {_HELD[target.kind]}, which this aggregation does not take"
            )
        return target


_HELD = {
    "text": "text",
    "keyword": "text",
    "integer": "numbers",
    "float": "numbers",
    "boolean": "true or false",
    "date": "dates",
    "time": "times",
}


def as_list(value: Any) -> list[Any]:
    """Return the members of a list, of an object whose keys are numbers, or a single member."""
    if isinstance(value, (list, tuple)):
        return list(value)
    if isinstance(value, dict) and value and all(re.fullmatch(r"\d{1,4}", key) for key in value):
        return [value[key] for key in sorted(value, key=int)]
    return [value]


def split_list(value: Any) -> list[Any]:
    """Return the members of a list, with texts split at commas."""
    return [
        part
        for each in as_list(value)
        for part in (each.split(",") if isinstance(each, str) else [each])
    ]


def ancestors(path: Optional[str]) -> list[Optional[str]]:
    """Return *path* of nested documents and those of all that embed them, inside out; the last is
    None, the document itself."""
    paths: list[Optional[str]] = []
    while path:
        paths.append(path)
        path = path.rpartition(".")[0]
    return [*paths, None]


def common(one: Optional[str], other: Optional[str]) -> Optional[str]:
    """Return the path of the innermost documents that embed (or are) both."""
    others = ancestors(other)
    return next(path for path in ancestors(one) if path in others)
