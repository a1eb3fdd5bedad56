"""Which fields this caller may search and sort by: those that a response may show them.

The same rules as nefertari's ``apply_privacy``: ``_public_fields`` for anonymous callers,
``_auth_fields`` for users, never ``_hidden_fields``, everything for admins, and no rules at all
where authentication is off. Nested documents follow their own model's rules.

The rules bind the caller's words, not the application's: a view may narrow its collection by any
field. So it matters who named a field, see :func:`named_by_caller`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

from nefertari_search_tween.search.item_acl import VIEW, AclFilter, access_of

ALWAYS_VISIBLE = frozenset({"_type", "_pk"})
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
        names = model._auth_fields if self.authenticated else model._public_fields
        return (frozenset(names or ()) - frozenset(model._hidden_fields or ())) | ALWAYS_VISIBLE


def named_by_caller(request: Any) -> frozenset[str]:
    """The parameters that the caller of *request* gave, whatever a view made of them since."""
    return frozenset(noted_parameters(request))


def noted_parameters(request: Any) -> dict[str, list[str]]:
    """What the caller of *request* gave, by name."""
    noted: Optional[dict[str, list[str]]] = request.__dict__.get(NOTED)
    if noted is None:
        return {name: request.params.getall(name) for name in request.params}
    return noted


def note_parameters(request: Any, params: Any) -> None:
    """Remember what the caller gave, before the application's own code can change it.

    :param params: names and texts, a multi dict.
    """
    request.__dict__[NOTED] = {name: params.getall(name) for name in params}


def _auth_enabled(registry: Any) -> bool:
    roots = getattr(registry, "_root_resources", {})
    return any(root.auth for root in roots.values())
