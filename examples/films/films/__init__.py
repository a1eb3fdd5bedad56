"""A film catalogue over nefertari: films, the people who directed them, genres, countries.

There is no search in here: no index to create, no document to keep up to date.
"""

import logging

from pyramid.config import Configurator

log = logging.getLogger(__name__)


def main(global_config, **settings):
    """Return the WSGI application."""
    settings["sqlalchemy.url"] = database_url(settings["sqlalchemy.url"])

    config = Configurator(settings=settings)
    config.include("nefertari.engine")
    config.include(includeme)

    from nefertari.engine import setup_database

    setup_database(config)

    config.commit()
    return config.make_wsgi_app()


def includeme(config):
    # Included from one place: nefertari keeps a root resource for each
    # package that includes something at the top level.
    config.include("films.models")
    config.include("nefertari")
    config.include("nefertari.view")
    config.include("nefertari.json_httpexceptions")
    config.include("films.resources")


def database_url(database):
    """Return `database` as a URL; a plain path is a SQLite file."""
    return database if "://" in database else "sqlite:///" + database
