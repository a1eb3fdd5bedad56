"""Which fields a caller may search and sort by: those that are visible in its responses.

The rules are those of nefertari's ``apply_privacy``: ``_public_fields`` for anonymous callers,
``_auth_fields`` for users, never ``_hidden_fields``, all fields for admins, and no rules if
authentication is off. Nested documents follow the rules of their own model.

The rules apply to the caller's input, not to the application's: a view may narrow its collection
by any field. So it matters who named a field, see :class:`CallerNames`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Optional

from nefertari_search_tween.search.item_acl import VIEW, AclFilter, access_of

ALWAYS_VISIBLE = frozenset({"_type", "_pk"})
#: nefertari's default of ``public_max_limit``
MAX_PUBLIC = 100
#: key of a request's ``__dict__``: the parameters as they came from the caller
NOTED = "nefertari_search.given"
_SEPARATOR = re.compile(r"(\.|__)")


@dataclass(frozen=True)
class Caller:
    """The rights of the caller of a request.

    :param restricted: privacy rules apply (authentication is on, and the caller is no admin).
    :param authenticated: the caller is a known user.
    :param access: the objects that are visible if they have item ACLs; None for all.
    :param max_documents: nefertari's ``public_max_limit``, for callers who are not logged in.
    :param actual: the same caller with its own rights, if this one has more.
    """

    restricted: bool
    authenticated: bool
    access: Optional[AclFilter] = None
    max_documents: Optional[int] = None
    actual: Optional[Caller] = None

    @classmethod
    def of(cls, request: Any) -> Caller:
        """Return the caller of *request*; without a request nothing is restricted (scripts)."""
        if request is None or not has_authentication(request):
            return cls(False, False)
        user = getattr(request, "user", None)
        access = access_of(request, VIEW)
        if user is None:
            limit = int(request.registry.settings.get("public_max_limit", MAX_PUBLIC))
            return cls(True, False, access, limit)
        return cls(not type(user).is_admin(user), True, access)

    @property
    def unrestricted(self) -> Caller:
        """Return the same caller with all fields visible, but not all objects."""
        return replace(self, restricted=False, actual=self.actual or self)

    def visible(self, model: Any) -> Optional[frozenset[str]]:
        """Return the names of the fields that this caller may see; None for all.

        :param model: the primary's model or its document class: both have the same rules.
        """
        if not self.restricted:
            return None
        names = model._auth_fields if self.authenticated else model._public_fields
        return (frozenset(names or ()) - frozenset(model._hidden_fields or ())) | ALWAYS_VISIBLE


def has_authentication(request: Any) -> bool:
    """Return True if the application of *request* has ``auth`` on: privacy rules apply."""
    roots = getattr(request.registry, "_root_resources", {})
    return any(root.auth for root in roots.values())


def noted_parameters(request: Any) -> dict[str, list[str]]:
    """Return the caller's parameters, by name, whatever a view has changed since."""
    noted: Optional[dict[str, list[str]]] = request.__dict__.get(NOTED)
    return _texts_by_name(request.params) if noted is None else noted


def _texts_by_name(params: Any) -> dict[str, list[str]]:
    # Not by getall() for each name, whose time is the square of their number.
    texts: dict[str, list[str]] = {}
    for name, text in params.items():
        texts.setdefault(name, []).append(text)
    return texts


class CallerNames:
    """The names of a caller's parameters, and all that can have become of them.

    nefertari makes a nested dict of a dotted name (``note.$gte`` -> ``note``), engines take a
    modifier off (``note__bool`` -> ``note``): what remains ends before one of the separators.

    A tree of the parts between separators, because the beginnings of one name alone may be as many
    as it has characters, and as long.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._nodes: dict[tuple[int, str], int] = {}
        for name in names:
            node = 0
            for part in _SEPARATOR.split(name):
                node = self._nodes.setdefault((node, part), len(self._nodes) + 1)

    @classmethod
    def of(cls, request: Any) -> CallerNames:
        """Return those of the caller of *request*."""
        return cls(noted_parameters(request))

    def __contains__(self, name: str) -> bool:
        node = 0
        for part in _SEPARATOR.split(name):
            if (node, part) not in self._nodes:
                return False
            node = self._nodes[node, part]
        return True


def note_parameters(request: Any, params: Any) -> None:
    """Store the caller's parameters before the application's code can change them.

    :param params: names and texts, a multi dict.
    """
    request.__dict__[NOTED] = _texts_by_name(params)
