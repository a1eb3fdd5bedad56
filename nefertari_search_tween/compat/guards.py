"""nefertari-guards on a current server: its field in the mapping, its queries, its look-ups.

Nothing here is active unless the application includes ``nefertari_guards``. Its own views and
scripts run unchanged; their queries for Elasticsearch 1 are replaced. ``search/item_acl.py``
filters every other read of a guarded collection.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from types import ModuleType
from typing import Any, Optional

from pyramid.settings import aslist

from nefertari_search_tween.compat.elasticsearch import ES
from nefertari_search_tween.documents.fields import FIELDS, BaseField
from nefertari_search_tween.search.gate import objects
from nefertari_search_tween.search.item_acl import ACL, STORED, AclFilter

log = logging.getLogger(__name__)

ACE_PARTS = ("action", "principal", "permission")


class ACLField(BaseField):
    """A stored ACL: a list of objects with ``action``, ``principal`` and ``permission``."""

    kind = "opaque"

    def mapping(self) -> dict[str, Any]:
        # No ignore_above: a long denial must not be missing from the index.
        return {"type": "nested", "properties": {name: {"type": "keyword"} for name in ACE_PARTS}}


def install() -> None:
    """Fix nefertari-guards, if the application has it, before its models are mirrored."""
    if "nefertari_guards.elasticsearch" not in sys.modules:
        return
    import nefertari_guards
    from nefertari_guards import acl_utils, elasticsearch

    FIELDS[ACLField.__name__] = ACLField
    elasticsearch.build_acl_query = build_acl_query
    acl_utils._get_es_body = ace_body
    acl_utils.find_by_ace = nefertari_guards.find_by_ace = find_by_ace
    objects.may_view = may_view


def know_engines(settings: Any) -> None:
    """Let nefertari-guards, if installed, work with two engines side by side.

    It imports a module of its own that is named after the whole setting ``nefertari.engine``. That
    name gets the module for the first engine, which defines the models.

    :param settings: of the application, before its engines are included.
    """
    setting = settings.get("nefertari.engine", "")
    engines = aslist(setting)
    if len(engines) < 2 or importlib.util.find_spec("nefertari_guards") is None:
        return
    if importlib.util.find_spec(f"nefertari_guards.{engines[0]}") is None:
        return
    module: Any = importlib.import_module("nefertari_guards")
    *packages, last = setting.split(".")
    for name in packages:
        module = vars(module).setdefault(name, ModuleType(name))
    vars(module)[last] = importlib.import_module(f"nefertari_guards.{engines[0]}")


def build_acl_query(principals: Any, req_permission: str) -> dict[str, Any]:
    """Return the ``bool`` clauses that ``ACLFilterES`` adds to a query.

    :param principals: Pyramid's.
    """
    stored = sorted({STORED.get(each, each) for each in principals})
    return {"must": [AclFilter(tuple(stored), req_permission).query()]}


def ace_body(ace: dict[str, str]) -> dict[str, Any]:
    """Return the body of a search for the objects whose ACL has the entry *ace*."""
    terms = [{"term": {f"{ACL}.{name}": ace[name]}} for name in ACE_PARTS]
    query = {
        "path": ACL,
        "query": {"bool": {"filter": terms}},
        "score_mode": "none",
        # Models without their own ACLs have no such field.
        "ignore_unmapped": True,
    }
    return {"query": {"nested": query}}


def find_by_ace(ace: dict[str, str], models: Any, count: bool = False) -> Any:
    """Return the documents of *models* whose ACL has the entry *ace*, or their number.

    :param ace: as stored: ``{"action": "allow", "principal": "ann", "permission": "view"}``.
    :raises ValueError: none of *models* has a search index.
    """
    from nefertari_guards.acl_utils import _get_es_types

    names = [name for name in _get_es_types(models).split(",") if name]
    if not names:
        raise ValueError("No es-based models passed")
    params: dict[str, Any] = {"_count": True} if count else {}
    results = [ES(name).get_collection(body=ace_body(ace), **params) for name in names]
    number = sum(results) if count else sum(map(len, results))
    log.info("Found %s documents that match ACE %s.", number, ace)
    return number if count else [document for each in results for document in each]


def may_view(request: Any, document: dict[str, Any]) -> bool:
    """Return True if the nested *document*'s own ACL permits the caller of *request* to view it.

    As with Pyramid and the object itself, the first matching entry decides.
    """
    entries: Optional[Any] = document.get(ACL)
    if entries is None or request is None:
        return True
    from nefertari_guards import engine
    from nefertari_guards.elasticsearch import SimpleContext

    return bool(
        request.has_permission("view", SimpleContext(engine.ACLField.objectify_acl(entries)))
    )
