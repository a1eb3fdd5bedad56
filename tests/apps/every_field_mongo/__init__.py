"""The zoo on MongoDB: every field class and every form of relationship of nefertari_mongodb."""

from __future__ import annotations

from pyramid.config import Configurator

from tests.apps.wsgi import include_application, ini_text, make_wsgi_app

INI = ini_text(
    "every_field_mongo",
    """
mongodb_port = unset
mongodb_db = unset
sync = inline
""",
    """
nefertari.engine = nefertari_mongodb
auth = false
mongodb.host = 127.0.0.1
get mongodb.port = mongodb_port
get mongodb.db = mongodb_db
get nefertari_search.sync = sync
nefertari_search.search_timeout = 1
nefertari_search.trusted_hooks = tests.apps.zoo_models.Custom.to_dict
""",
)


def main(global_config, **settings):
    """Return the WSGI application."""
    return make_wsgi_app(Configurator(settings=settings), includeme)


def includeme(config):
    include_application(config, "every_field_mongo")
