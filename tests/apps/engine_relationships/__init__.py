"""Books, their writers, publishers and tags, on this package's engine alone; all collections are
read by search."""

from __future__ import annotations

from pyramid.config import Configurator

from tests.apps.engine_auth import INI as CLUB

INI = CLUB.replace("tests.apps.engine_auth:main", "tests.apps.engine_relationships:main").replace(
    "auth = true", "auth = false"
)
INI = INI.replace(
    "get club.policy = policy",
    "elasticsearch.enable_aggregations = true\n"
    "elasticsearch.enable_polymorphic_query = true\n"
    # Few: more related documents than that are read by a scan.
    "nefertari_search.max_result_window = 100",
)


def main(global_config, **settings):
    """Return the WSGI application."""
    config = Configurator(settings=settings)
    config.include("nefertari.engine")
    config.include("nefertari")
    config.include("nefertari.view")
    config.include("nefertari.elasticsearch")
    config.include("nefertari.json_httpexceptions")
    config.include("tests.apps.engine_relationships.models")
    from nefertari.engine import setup_database

    setup_database(config)
    config.commit()
    return config.make_wsgi_app()
