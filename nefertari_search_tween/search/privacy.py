"""Which fields this caller may search and sort by: those that a response may show them.

The same rules as nefertari's ``apply_privacy``: ``_public_fields`` for anonymous callers,
``_auth_fields`` for users, never ``_hidden_fields``, everything for admins, and no rules at all
where authentication is off. Nested documents follow their own model's rules.

The rules bind the caller's words, not the application's: a view may narrow its collection by any
field. So it matters who named a field, see :func:`named_by_caller`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Optional

from nefertari import RESERVED_PARAMS
from nefertari.utils import split_strip

from nefertari_search_tween.documents.fields import BaseField, ListField, Relationship
from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.exceptions import BadQuery
from nefertari_search_tween.search.item_acl import VIEW, AclFilter, access_of, has_item_acl

ALWAYS_VISIBLE = frozenset({"_type", "_pk"})
#: see :class:`Target`
Levels = tuple[tuple[str, Optional[dict[str, Any]]], ...]
Joins = tuple[tuple[str, str], ...]
#: key of a request's ``__dict__``: the parameters as the caller gave them
NOTED = "nefertari_search.given"


@dataclass(frozen=True)
class Caller:
    """Who asks.

    :param restricted: privacy rules apply (authentication is on, and it is no admin).
    :param authenticated: it is a known user.
    :param access: which objects it may see, where these have ACLs of their own; None: all.
    """

    restricted: bool
    authenticated: bool
    access: Optional[AclFilter] = None

    @classmethod
    def of(cls, request: Any) -> Caller:
        """The caller of *request*; without a request nothing is restricted (scripts)."""
        if request is None or not _auth_enabled(request.registry):
            return cls(False, False)
        user = getattr(request, "user", None)
        access = access_of(request, VIEW)
        if user is None:
            return cls(True, False, access)
        return cls(not type(user).is_admin(user), True, access)

    @property
    def unrestricted(self) -> Caller:
        """The same, were every field visible; objects are not."""
        return Caller(False, self.authenticated, self.access)

    def visible(self, model: Any) -> Optional[frozenset[str]]:
        """Names of the fields that this caller may see; None for all.

        :param model: of the primary, or its document class: both have the same rules.
        """
        if not self.restricted:
            return None
        named = model._auth_fields if self.authenticated else model._public_fields
        return (frozenset(named or ()) - frozenset(model._hidden_fields or ())) | ALWAYS_VISIBLE


def named_by_caller(request: Any) -> frozenset[str]:
    """The parameters that the caller of *request* gave, whatever a view made of them since."""
    noted = request.__dict__.get(NOTED)
    return frozenset(request.params) if noted is None else frozenset(noted)


def note_parameters(request: Any, params: Any) -> None:
    """Remember what the caller gave, before the application's own code can change it.

    :param params: names and texts, a multi dict.
    """
    request.__dict__[NOTED] = {name: params.getall(name) for name in params}


def hidden_fields_used(request: Any, model: Any, params: Iterable[str]) -> list[str]:
    """Fields of *model* that this caller may not see, but filters or sorts by.

    :param params: names of the parameters that are about to be used; what the caller gave and
        the view took out does not count, nor does what the view put there itself.
    :returns: their names, sorted, as the caller wrote them less modifiers (``name__bool``).
    """
    noted = request.__dict__.get(NOTED)
    if noted is None:
        given = request.params
        noted = {name: given.getall(name) for name in given}
    used = {name for name in params if name in noted}
    if not used:
        return []
    names = {
        form
        for name in used
        if name not in RESERVED_PARAMS and not name.startswith("__")
        for form in (name, name.partition("__")[0])
    }
    if "_sort" in used:
        for text in noted["_sort"]:
            names.update(each.strip("-+ ") for each in split_strip(text))
    names = {name for name in names if model.has_field(name)}
    # Most reads name what everybody sees: who asks need not be looked up for them.
    if not names or names <= _seen_by_all(model):
        return []
    visible = Caller.of(request).visible(model)
    return [] if visible is None else sorted(names - visible)


def _seen_by_all(model: Any) -> frozenset[str]:
    anonymous, user = Caller(True, False).visible(model), Caller(True, True).visible(model)
    return (anonymous or frozenset()) & (user or frozenset())


def _auth_enabled(registry: Any) -> bool:
    roots = getattr(registry, "_root_resources", {})
    return any(root.auth for root in roots.values())


@dataclass(frozen=True)
class SearchField:
    """A field that a search may name.

    :param name: as the caller writes it (``title``, ``director.name``).
    :param kind: see :class:`BaseField`; also ``keyword`` for ``_pk`` and ``_type``.
    :param path: path of the nested documents that hold it, None for the document itself.
    :param analyzed: by an analyzer that may leave words out.
    :param levels: of the nested documents on the way, outermost first: their path, and which of
        them the caller may see (None: all of them).
    :param joins: the relationships on the way whose documents are in indices of their own (see
        engine/joins.py), outermost first: model and name.
    :param key: what the field is called in that index.
    """

    name: str
    kind: str
    path: Optional[str] = None
    analyzed: bool = False
    nested_levels: Levels = ()
    joins: Joins = ()
    key: str = ""

    @property
    def index_field(self) -> str:
        """What the index that has it calls it."""
        return self.key or self.name

    @property
    def guarded(self) -> bool:
        """True when the caller may not see all of the nested documents that hold it."""
        return any(condition is not None for _, condition in self.nested_levels)

    @property
    def sort_key(self) -> str:
        return f"{self.index_field}.keyword" if self.kind == "text" else self.index_field


class FieldScope:
    """The fields that one caller may name in searches of one model.

    :ivar partial: there are more that nobody may name here.
    """

    partial = False

    def __init__(self, document_cls: type[BaseDocument], caller: Caller) -> None:
        self.document_cls = document_cls
        self.caller = caller
        everything = not caller.restricted and caller.access is None
        known: Any = document_cls
        self.targets: dict[str, SearchField] = (
            _all_fields(known) if everything else _fields_of(document_cls, caller)
        )

    @property
    def tie_breaker(self) -> str:
        """What equal documents are sorted by: their primary key."""
        pk = self.document_cls.pk_field()
        return f"{pk}.keyword" if self.document_cls.fields()[pk].kind == "text" else pk

    def get(self, name: str) -> Optional[SearchField]:
        """The field called *name*, None when there is none that the caller may see."""
        return self.targets.get(name)

    def reject(self, error: BadQuery, targets: list[SearchField], place: int) -> None:
        """A word of a request fits none of the fields *targets* that it is looked for in.

        :param place: which word it is: the same one for every model that is asked.
        :raises BadQuery: the *error*; a scope that returns has the word match nothing.
        """
        raise error

    def unguarded(self) -> FieldScope:
        """The same without the fields of nested documents that have ACLs of their own."""
        scope = FieldScope(self.document_cls, self.caller)
        scope.targets = {name: each for name, each in self.targets.items() if not each.guarded}
        scope.partial = len(scope.targets) < len(self.targets)
        return scope

    def default(self) -> list[SearchField]:
        """What a search without a field name looks into."""
        return [
            target
            for target in self.targets.values()
            if not target.name.rpartition(".")[2].startswith("_")
        ]


def _fields_of(document_cls: type[BaseDocument], caller: Caller) -> dict[str, SearchField]:
    found = _targets(document_cls, caller, (), (), document_cls._nesting_depth)
    return {target.name: target for target in found}


@lru_cache(maxsize=256)
def _all_fields(document_cls: Any) -> dict[str, SearchField]:
    """For those who may see everything: no rule is asked, so it is always the same."""
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
    """The fields of the documents that the relationship *name* leads to, where they are in an
    index of their own; and their keys, which the document itself may hold."""
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
        # That there is such a document is for those who may see it.
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
