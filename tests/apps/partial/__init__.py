"""Views and models that show a part of their collections, each in another way.

By a value that the view adds (its own, the caller's name, or what the caller writes in the URL), by
a ``to_dict`` that looks at the request, and by a filter of all queries per tenant. Who asks is said
by a header.
"""

from __future__ import annotations

from pyramid.config import Configurator

from tests.apps.item_acls import trust_header
from tests.apps.wsgi import include_application, ini_text, make_wsgi_app

INI = ini_text(
    "partial",
    """
database = unset
engine = nefertari_sqla
tenants =
""",
    """
get nefertari.engine = engine
auth = true
get sqlalchemy.url = database
elasticsearch.enable_aggregations = true
elasticsearch.enable_polymorphic_query = true
nefertari_search.search_timeout = 10
get partial.tenants = tenants
""",
)


def main(global_config, **settings):
    """Return the WSGI application.

    ``partial.tenants`` says how queries are narrowed by tenant, on SQL: ``compile`` by an event,
    ``query_cls`` by a class of queries; otherwise not at all.
    """
    config = Configurator(settings=settings)
    trust_header(config)
    return make_wsgi_app(config, includeme)


def includeme(config):
    include_application(config, "partial", "nefertari.elasticsearch")
    if config.registry.settings.get("partial.tenants"):
        config.include("tests.apps.partial.tenants")
