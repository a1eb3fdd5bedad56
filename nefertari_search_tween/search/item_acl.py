"""Item ACLs (nefertari-guards): which objects of a collection a caller may see.

An object with a field ``_acl`` is visible if one of its entries allows the permission (or all) to
one of the caller's principals, and no entry denies it; the order of entries does not matter, as in
nefertari-guards. This holds for every read of such a collection: the mirror applies it by a
condition in its query, the database by the keys of the rows whose ACLs pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Optional

from nefertari.resource import PERMISSIONS
from nefertari.utils import dictset

from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.search.context import collection_request

ACL = "_acl"
ALL = "all"
VIEW = "view"
# What nefertari-guards stores instead of these principals of Pyramid.
STORED = {"system.Everyone": "everyone", "system.Authenticated": "authenticated"}

Query = dict[str, Any]


@dataclass(frozen=True)
class AclFilter:
    """The objects on which a caller has a permission.

    :param principals: those of the caller, as stored in ACLs, sorted.
    :param permission: the permission that the request needs on each object.
    """

    principals: tuple[str, ...]
    permission: str = VIEW

    def allows(self, acl: Optional[Iterable[dict[str, Any]]]) -> bool:
        """Return True if an object with the stored entries *acl* is visible."""
        actions = {
            entry["action"]
            for entry in acl or ()
            if entry["principal"] in self.principals
            and entry["permission"] in (ALL, self.permission)
        }
        return actions == {"allow"}

    def query(self, prefix: str = "") -> Query:
        """Return the same as a query, which does not affect scores.

        :param prefix: of field names: the path of nested documents, with a dot.
        """
        return {
            "bool": {
                "filter": [self._entry(prefix, "allow")],
                "must_not": [self._entry(prefix, "deny")],
            }
        }

    def _entry(self, prefix: str, action: str) -> Query:
        path = prefix + ACL
        terms = [
            {"term": {f"{path}.action": action}},
            {"terms": {f"{path}.principal": list(self.principals)}},
            {"terms": {f"{path}.permission": sorted({ALL, self.permission})}},
        ]
        return {
            "nested": {"path": path, "query": {"bool": {"filter": terms}}, "score_mode": "none"}
        }


def access_of(request: Any, permission: Optional[str] = None) -> Optional[AclFilter]:
    """Return the access rights of the caller of *request*; None where no rules apply: in scripts,
    and in applications without authentication.

    :param permission: None for the one that the request's action needs.
    """
    if request is None or not dictset(request.registry.settings).asbool("auth"):
        return None
    if permission is None:
        permission = PERMISSIONS.get(getattr(request, "action", ""), VIEW)
    principals = {STORED.get(each, each) for each in request.effective_principals}
    return AclFilter(tuple(sorted(principals)), permission)


def acl_filters(mirror: Mirror) -> list[Query]:
    """Return conditions that hold for all objects that the current request may select from its
    collection."""
    if not has_item_acl(mirror.document_cls):
        return []
    access = access_of(collection_request(mirror.model))
    return [] if access is None else [access.query()]


def has_item_acl(model: Any) -> bool:
    """Return True for models, and document classes, whose objects have ACLs of their own."""
    return hasattr(model, "get_acl") and bool(model.has_field(ACL))
