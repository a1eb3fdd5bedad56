"""A filter of all queries of ledgers: those of the caller's own tenant. SQL alone."""

from __future__ import annotations

from pyramid.threadlocal import get_current_request
from pyramid_sqlalchemy import Session
from sqlalchemy import event
from sqlalchemy.orm import Query

from tests.apps.item_acls import name_of
from tests.apps.partial.models import Ledger


def narrowed(query):
    """Return *query*, of the caller's ledgers only if a request asks for ledgers."""
    request = get_current_request()
    entities = [each["entity"] for each in query.column_descriptions]
    if request is None or Ledger not in entities:
        return query
    return query.enable_assertions(False).filter(Ledger.tenant == name_of(request))


class TenantQuery(Query):
    """Narrows itself when it is run."""

    def __iter__(self):
        return Query.__iter__(narrowed(self))

    def count(self):
        return Query.count(narrowed(self))


def includeme(config):
    if config.registry.settings["partial.tenants"] == "query_cls":
        Session.remove()
        Session.configure(query_cls=TenantQuery)
    else:
        event.listen(Query, "before_compile", narrowed, retval=True, bake_ok=False)
