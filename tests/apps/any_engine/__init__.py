"""An application of authors, books and readers for every engine: the same models and views.

Its settings name the engine and the database.
"""

from __future__ import annotations

from pyramid.config import Configurator


def main(global_config, **settings):
    """Return the WSGI application."""
    config = Configurator(settings=settings)
    config.include("nefertari.engine")
    config.include("tests.apps.any_engine.models")
    config.include("nefertari")
    config.include("nefertari.view")
    config.include("nefertari.json_httpexceptions")
    config.include("nefertari.elasticsearch")
    config.include("tests.apps.any_engine.views")
    from nefertari.engine import setup_database

    setup_database(config)
    config.commit()
    return config.make_wsgi_app()
