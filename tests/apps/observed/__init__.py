"""An application whose views look at their collections, and write before they show them."""

from __future__ import annotations

from pyramid.config import Configurator

from tests.apps.wsgi import include_application, make_wsgi_app


def main(global_config, **settings):
    """Return the WSGI application."""
    return make_wsgi_app(Configurator(settings=settings), includeme)


def includeme(config):
    include_application(config, "observed")
