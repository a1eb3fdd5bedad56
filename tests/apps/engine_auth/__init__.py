"""A small application with users, on this package's engine alone: no SQL, no MongoDB.

Callers are known by a ticket in a cookie, or by a token (``club.policy``).
"""

from __future__ import annotations

from pyramid.authentication import AuthTktAuthenticationPolicy
from pyramid.authorization import ACLAuthorizationPolicy
from pyramid.config import Configurator

from tests.apps.wsgi import LOGGING

#: for pserve; unset variables are passed as key=value arguments
INI = """
[DEFAULT]
http_port = 6543
backend =
elasticsearch_hosts =
index_name = unset
policy = ticket

[app:main]
use = call:tests.apps.engine_auth:main
nefertari.engine = nefertari_search_tween.engine
auth = true
get elasticsearch.hosts = elasticsearch_hosts
get elasticsearch.index_name = index_name
get nefertari_search.backend = backend
get club.policy = policy

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
    from tests.apps.engine_auth.models import User, make_admin

    if settings["club.policy"] == "token":
        from nefertari.authentication.policies import ApiKeyAuthenticationPolicy

        policy = ApiKeyAuthenticationPolicy(
            user_model=User,
            check=User.get_groups_by_token,
            credentials_callback=User.get_token_credentials,
        )
        config.add_request_method(User.get_authuser_by_name, "user", reify=True)
    else:
        policy = AuthTktAuthenticationPolicy(
            "secret", hashalg="sha512", callback=User.get_groups_by_userid
        )
        config.add_request_method(User.get_authuser_by_userid, "user", reify=True)
    config.set_authentication_policy(policy)
    config.set_authorization_policy(ACLAuthorizationPolicy())
    config.include("nefertari")
    config.include("nefertari.view")
    config.include("nefertari.json_httpexceptions")
    config.include("nefertari.elasticsearch")
    config.include("nefertari.authentication")
    config.include("tests.apps.engine_auth.views")
    from nefertari.engine import setup_database

    setup_database(config)
    make_admin()
    config.commit()
    return config.make_wsgi_app()
