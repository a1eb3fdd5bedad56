"""An application of authors, books and readers for every engine: the same models and views.

Its settings name the engine and the database.
"""

from __future__ import annotations

from pyramid.config import Configurator

from tests.apps.wsgi import include_application, make_wsgi_app


def main(global_config, **settings):
    """Return the WSGI application."""
    return make_wsgi_app(Configurator(settings=settings), includeme)


def includeme(config):
    include_application(config, "any_engine", "nefertari.elasticsearch")
