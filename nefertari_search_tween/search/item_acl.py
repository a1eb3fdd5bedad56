"""Item ACLs (nefertari-guards): which objects of a collection this caller may see.

An object with a field ``_acl`` is visible if one of its entries allows the permission (or all) to
one of the caller's principals, and none denies it; the order of entries does not matter. That is
how nefertari-guards filters its collections. Here it holds for every read of such a collection,
whoever answers: the mirror by a condition of its query, the database by the keys that are left
when the rules have been applied to all rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Optional

from nefertari.resource import PERMISSIONS
from nefertari.utils import dictset

ACL = "_acl"
ALL = "all"
VIEW = "view"
# What nefertari-guards stores in the place of these principals of Pyramid.
STORED = {"system.Everyone": "everyone", "system.Authenticated": "authenticated"}

Query = dict[str, Any]


@dataclass(frozen=True)
class AclFilter:
    """What one caller may do.

    :param principals: as they are stored in ACLs, sorted.
    :param permission: what the request needs of each object.
    """

    principals: tuple[str, ...]
    permission: str = VIEW

    def allows(self, acl: Optional[Iterable[dict[str, Any]]]) -> bool:
        """True when an object with the stored entries *acl* is visible."""
        actions = {
            entry["action"]
            for entry in acl or ()
            if entry["principal"] in self.principals
            and entry["permission"] in (ALL, self.permission)
        }
        return actions == {"allow"}

    def query(self, prefix: str = "") -> Query:
        """The same as a query; it adds nothing to scores.

        :param prefix: of the names of fields: the path of nested documents, with a dot.
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
    """The access rights of the caller of *request*; None where no rules apply: scripts, and
    applications without authentication.

    :param permission: None for what the request's action needs.
    """
    if request is None or not dictset(request.registry.settings).asbool("auth"):
        return None
    if permission is None:
        permission = PERMISSIONS.get(getattr(request, "action", ""), VIEW)
    principals = {STORED.get(each, each) for each in request.effective_principals}
    return AclFilter(tuple(sorted(principals)), permission)


def has_item_acl(model: Any) -> bool:
    """True for models, and document classes, whose objects have ACLs of their own."""
    return hasattr(model, "get_acl") and bool(model.has_field(ACL))
