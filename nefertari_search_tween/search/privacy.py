"""Which fields this caller may search and sort by: those that a response may show them.

The same rules as nefertari's ``apply_privacy``: ``_public_fields`` for anonymous callers,
``_auth_fields`` for users, never ``_hidden_fields``, everything for admins, and no rules at all
where authentication is off. Nested documents follow their own model's rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Optional

from nefertari_search_tween.engine.documents import BaseDocument
from nefertari_search_tween.engine.fields import BaseField, ListField, Relationship
from nefertari_search_tween.exceptions import BadQuery

ALWAYS_VISIBLE = frozenset({"_type", "_pk"})


@dataclass(frozen=True)
class Caller:
    """Who asks.

    :param restricted: privacy rules apply (authentication is on, and it is no admin).
    :param authenticated: it is a known user.
    """

    restricted: bool
    authenticated: bool

    @classmethod
    def of(cls, request: Any) -> Caller:
        """The caller of *request*; without a request nothing is restricted (scripts)."""
        if request is None or not _auth_enabled(request.registry):
            return cls(False, False)
        user = getattr(request, "user", None)
        if user is None:
            return cls(True, False)
        return cls(not type(user).is_admin(user), True)

    def visible(self, document_cls: type[BaseDocument]) -> Optional[frozenset[str]]:
        """Names of the fields of *document_cls* that this caller may see; None for all."""
        if not self.restricted:
            return None
        named = document_cls._auth_fields if self.authenticated else document_cls._public_fields
        return (
            frozenset(named or ()) - frozenset(document_cls._hidden_fields or ())
        ) | ALWAYS_VISIBLE


def _auth_enabled(registry: Any) -> bool:
    roots = getattr(registry, "_root_resources", {})
    return any(root.auth for root in roots.values())


@dataclass(frozen=True)
class Target:
    """A field that a search may name.

    :param name: as the caller writes it (``title``, ``director.name``).
    :param kind: see :class:`BaseField`; also ``keyword`` for ``_pk`` and ``_type``.
    :param path: path of the nested documents that hold it, None for the document itself.
    :param analyzed: by an analyzer that may leave words out.
    """

    name: str
    kind: str
    path: Optional[str] = None
    analyzed: bool = False

    @property
    def sort_key(self) -> str:
        return f"{self.name}.keyword" if self.kind == "text" else self.name


class Scope:
    """The fields that one caller may name in searches of one model."""

    def __init__(self, document_cls: type[BaseDocument], caller: Caller) -> None:
        self.document_cls = document_cls
        self.targets: dict[str, Target] = {
            target.name: target
            for target in _targets(document_cls, caller, "", None, document_cls._nesting_depth)
        }

    def get(self, name: str) -> Optional[Target]:
        """The field called *name*, None when there is none that the caller may see."""
        return self.targets.get(name)

    def refuse(self, error: BadQuery, targets: list[Target], place: int) -> None:
        """A word of a request fits none of the fields *targets* that it is looked for in.

        :param place: which word it is: the same one for every model that is asked.
        :raises BadQuery: the *error*; a scope that returns has the word match nothing.
        """
        raise error

    def default(self) -> list[Target]:
        """What a search without a field name looks into."""
        return [
            target
            for target in self.targets.values()
            if not target.name.rpartition(".")[2].startswith("_")
        ]


def _targets(
    document_cls: type[BaseDocument],
    caller: Caller,
    prefix: str,
    path: Optional[str],
    depth: int,
) -> Iterator[Target]:
    visible = caller.visible(document_cls)
    for name, field in document_cls.fields().items():
        if visible is not None and name not in visible:
            continue
        full = prefix + name
        if isinstance(field, Relationship):
            related = document_cls.related(name)
            if document_cls.nests(name) and depth > 0:
                yield from _targets(related, caller, full + ".", full, depth - 1)
            else:
                yield _target(full, related.fields()[related.pk_field()], path)
        else:
            yield _target(full, field, path)
    for name in sorted(ALWAYS_VISIBLE):
        yield Target(prefix + name, "keyword", path)


def _target(name: str, field: BaseField, path: Optional[str]) -> Target:
    kind = field.item_field().kind if isinstance(field, ListField) else field.kind
    return Target(name, kind, path, field.analyzed)
