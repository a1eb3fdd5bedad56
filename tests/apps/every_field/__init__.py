"""A nefertari application with every field class, every form of relationship, and views that
narrow or deny: what the example application does not need, and others have."""

from __future__ import annotations

from pyramid.authentication import RemoteUserAuthenticationPolicy
from pyramid.authorization import ACLAuthorizationPolicy
from pyramid.config import Configurator

#: the end of an ini file: warnings go to the standard error
LOGGING = """
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = generic
[logger_root]
level = WARNING
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = generic
[formatter_generic]
format = %(levelname)s [%(name)s] %(message)s
"""
#: for pserve and the command line; unset variables are passed as key=value arguments
INI = """
[DEFAULT]
http_port = 6543
database = unset
elasticsearch_hosts = unset
index_name = unset
fallback = true
sync = inline
backend =

[app:main]
use = call:tests.apps.every_field:main
pyramid.includes = nefertari_search_tween
nefertari.engine = nefertari_sqla
auth = false
get sqlalchemy.url = database
get elasticsearch.hosts = elasticsearch_hosts
get elasticsearch.index_name = index_name
get nefertari_search.backend = backend
get nefertari_search.fallback_to_primary = fallback
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
    """Return the WSGI application; ``REMOTE_USER`` names the caller."""
    config = Configurator(settings=settings)
    config.set_authentication_policy(RemoteUserAuthenticationPolicy())
    config.set_authorization_policy(ACLAuthorizationPolicy())
    config.include("nefertari.engine")
    config.include(includeme)
    from nefertari.engine import setup_database

    setup_database(config)
    config.commit()
    return config.make_wsgi_app()


def includeme(config):
    config.include("tests.apps.every_field.models")
    config.include("nefertari")
    config.include("nefertari.view")
    config.include("nefertari.json_httpexceptions")
    config.include("tests.apps.every_field.views")
