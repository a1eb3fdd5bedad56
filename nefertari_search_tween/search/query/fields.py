"""The fields that a search may name: a model's and its nested documents', for one caller."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Optional

from rapidfuzz import process
from rapidfuzz.distance import OSA

from nefertari_search_tween.concurrency.forks import LazyAttribute
from nefertari_search_tween.documents.fields import BaseField, ListField, Relationship
from nefertari_search_tween.documents.format import composed_field
from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.exceptions import BadQuery
from nefertari_search_tween.search.item_acl import has_item_acl
from nefertari_search_tween.search.privacy import ALWAYS_VISIBLE, Caller

# How similar a name must be that an unknown one may have been meant for, from 0 to 1; and how many
# characters of it are compared.
SIMILAR = 0.7
MAX_NAME = 200
IN_ALL_RESPONSES = ALWAYS_VISIBLE | {"_score", "_self"}
#: see :class:`SearchField`
Levels = tuple[tuple[str, Optional[dict[str, Any]]], ...]
Joins = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class SearchField:
    """A field that a search may name.

    :param name: as the caller writes it (``title``, ``director.name``).
    :param kind: see :class:`BaseField`; also ``keyword`` for ``_pk`` and ``_type``.
    :param path: path of the nested documents that contain it; None for the document itself.
    :param analyzed: its analyzer may remove words.
    :param nested_levels: path and visibility condition (None: all are visible) of the nested
        documents that lead to it, outermost first.
    :param joins: model and name of the relationships that lead to it and whose documents are in
        indices of their own (see engine/search/joins.py), outermost first.
    :param key: its name in that index.
    """

    name: str
    kind: str
    path: Optional[str] = None
    analyzed: bool = False
    nested_levels: Levels = ()
    joins: Joins = ()
    key: str = ""

    @LazyAttribute
    def index_field(self) -> str:
        """Return its name in the index that contains it."""
        return self.key or self.name

    @LazyAttribute
    def forms(self) -> list[str]:
        """Return the names of the index fields that hold its terms, in any form of text."""
        name = self.index_field
        return [name, composed_field(name)] if self.kind == "text" else [name]

    @LazyAttribute
    def guarded(self) -> bool:
        """Return True if some of the nested documents that contain it are not visible."""
        return any(condition is not None for _, condition in self.nested_levels)

    @LazyAttribute
    def sort_key(self) -> str:
        return f"{self.index_field}.keyword" if self.kind == "text" else self.index_field


class FieldScope:
    """The fields that one caller may name in searches of one model.

    :ivar partial: fields were left out that no caller may name here.
    """

    partial = False

    def __init__(self, document_cls: type[BaseDocument], caller: Caller) -> None:
        self.document_cls = document_cls
        self.caller = caller
        sees_all = not caller.restricted and caller.access is None
        hashable: Any = document_cls
        self.targets: dict[str, SearchField] = (
            _all_fields(hashable) if sees_all else _fields_of(document_cls, caller)
        )

    @property
    def tie_breaker(self) -> str:
        """Return the field that equal documents are ordered by: their primary key."""
        pk = self.document_cls.pk_field()
        return f"{pk}.keyword" if self.document_cls.fields()[pk].kind == "text" else pk

    @property
    def own_renderings(self) -> set[str]:
        """Return the names of code that changes what stored documents show."""
        rendering = self.document_cls.own_rendering()
        return set() if rendering is None else {rendering}

    def get(self, name: str) -> Optional[SearchField]:
        """Return the field called *name*; None if the caller can see no such field."""
        return self.targets.get(name)

    def visible_names(self) -> list[str]:
        """Return the names of the fields that the caller may see in responses, whatever it may
        name besides; not those of every document."""
        caller = self.caller.actual or self.caller
        scope = self if caller is self.caller else FieldScope(self.document_cls, caller)
        return [name for name in scope.targets if name[0] != "_"]

    def meant(self, name: str, others: Iterable[str] = ()) -> str:
        """Return what is added to the message about the unknown *name*: the nearest one that the
        caller may see, if there is one.

        :param others: names that are no fields of this model.
        """
        return did_you_mean(name, [*others, *self.visible_names()])

    def require_shown(self, name: str) -> None:
        """Check that the field *name* may be requested by ``_fields``.

        :raises BadQuery: it is unknown.
        """
        if not self.can_show(name):
            problem = f"{self.document_cls.__name__} has no field '{name[:60]}'"
            raise BadQuery("_fields", problem + self.meant(name))

    def can_show(self, name: str) -> bool:
        """Return True if the field *name* may be part of a response."""
        if name in IN_ALL_RESPONSES:
            return True
        visible = self.caller.visible(self.document_cls)
        return name in self.document_cls.fields() and (visible is None or name in visible)

    def reject(self, error: BadQuery, targets: list[SearchField], position: int) -> None:
        """Reject a term of the request that fits none of the fields *targets*.

        :param position: identifies the term, over all models of a request.
        :raises BadQuery: the *error*; in a scope that returns instead, the term matches nothing.
        """
        raise error

    def objects_having(self, targets: Sequence[SearchField]) -> None:
        """Return no query: all objects of a model have the same fields."""

    def of_index(self, index: str) -> FieldScope:
        """Return the fields of documents in *index*: those of the one model."""
        return self

    def unguarded(self) -> FieldScope:
        """Return the same scope without fields of nested documents that have item ACLs."""
        if not any(each.guarded for each in self.targets.values()):
            return self
        scope = FieldScope(self.document_cls, self.caller)
        scope.targets = {name: each for name, each in self.targets.items() if not each.guarded}
        scope.partial = len(scope.targets) < len(self.targets)
        return scope

    def default(self) -> list[SearchField]:
        """Return the fields that a term without a field name is searched in."""
        return [
            target
            for target in self.targets.values()
            if not target.name.rpartition(".")[2].startswith("_")
        ]


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return the end of a message about the unknown *name*: the nearest of *names*; '' if all are
    too different, or it is one of them, which can't be used in this way."""
    nearest = process.extractOne(
        name[:MAX_NAME].lower(),
        names,
        scorer=OSA.normalized_similarity,
        processor=str.lower,
        score_cutoff=SIMILAR,
    )
    return "" if nearest is None or nearest[0] == name else f"; did you mean '{nearest[0]}'?"


def _fields_of(document_cls: type[BaseDocument], caller: Caller) -> dict[str, SearchField]:
    fields = _targets(document_cls, caller, (), (), document_cls._nesting_depth)
    return {target.name: target for target in fields}


@lru_cache(maxsize=256)
def _all_fields(document_cls: Any) -> dict[str, SearchField]:
    """Return the fields for callers without restrictions: always the same, so cached."""
    return _fields_of(document_cls, Caller(False, False))


def _targets(
    document_cls: type[BaseDocument],
    caller: Caller,
    levels: Levels,
    joins: Joins,
    depth: int,
) -> Iterator[SearchField]:
    path = levels[-1][0] if levels else None
    prefix = f"{path}." if path else ""
    visible = caller.visible(document_cls)
    for name, field in document_cls.fields().items():
        if visible is not None and name not in visible:
            continue
        full = prefix + name
        if isinstance(field, Relationship):
            if document_cls.joins(name):
                yield from _joined_targets(document_cls, name, caller, levels, joins, depth)
                continue
            related = document_cls.related(name)
            if document_cls.nests(name) and depth > 0:
                condition = None
                if caller.access is not None and has_item_acl(related):
                    condition = caller.access.query(full + ".")
                yield from _targets(related, caller, (*levels, (full, condition)), (), depth - 1)
            else:
                yield _target(full, related.fields()[related.pk_field()], levels)
        else:
            yield _target(full, field, levels, joins, name if joins else "")
    for name in sorted(ALWAYS_VISIBLE):
        yield SearchField(
            prefix + name, "keyword", path, False, levels, joins, name if joins else ""
        )


def _joined_targets(
    document_cls: Any, name: str, caller: Caller, levels: Levels, joins: Joins, depth: int
) -> Iterator[SearchField]:
    """Yield the fields of documents in another index that the relationship *name* leads to, and
    their keys, which the document itself may contain."""
    full = f"{levels[-1][0]}.{name}" if levels else name
    related = document_cls.related(name)
    pk = related.fields()[related.pk_field()]
    further: Joins = (*joins, (document_cls.__name__, name))
    condition = None
    nested = name in document_cls._nested_relationships and depth > 0
    if nested:
        if caller.access is not None and has_item_acl(related):
            condition = caller.access.query()
        yield from _targets(related, caller, (*levels, (full, condition)), further, depth - 1)
    own_field = document_cls.owning_field(name)
    if own_field is not None:
        # Only callers who may see such a document may know that it exists.
        if condition is None:
            yield _target(full, pk, levels, joins, own_field)
    elif not nested:
        yield _target(full, pk, (*levels, (full, None)), further, pk.name)


def _target(
    name: str, field: BaseField, levels: Levels, joins: Joins = (), key: str = ""
) -> SearchField:
    kind = field.item_field().kind if isinstance(field, ListField) else field.kind
    path = levels[-1][0] if levels else None
    return SearchField(name, kind, path, field.analyzed, levels, joins, key)
