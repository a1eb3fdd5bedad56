"""The zoo on MongoDB: every field class and every form of relationship of nefertari_mongodb."""

from __future__ import annotations

from pyramid.config import Configurator

from tests.apps.every_field import LOGGING

#: for pserve and the command line; unset variables are passed as key=value arguments
INI = """
[DEFAULT]
http_port = 6543
mongodb_port = unset
mongodb_db = unset
backend =
elasticsearch_hosts =
index_name = unset
sync = inline

[app:main]
use = call:tests.apps.every_field_mongo:main
pyramid.includes = nefertari_search_tween
nefertari.engine = nefertari_mongodb
auth = false
mongodb.host = 127.0.0.1
get mongodb.port = mongodb_port
get mongodb.db = mongodb_db
get elasticsearch.hosts = elasticsearch_hosts
get elasticsearch.index_name = index_name
get nefertari_search.backend = backend
get nefertari_search.sync = sync
nefertari_search.search_timeout = 1

[server:main]
use = egg:waitress#main
host = 127.0.0.1
threads = 8
get port = http_port
"""
INI += LOGGING


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
    config.include("tests.apps.every_field_mongo.models")
    config.include("nefertari")
    config.include("nefertari.view")
    config.include("nefertari.json_httpexceptions")
    config.include("tests.apps.every_field_mongo.views")
