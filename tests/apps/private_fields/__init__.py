"""A nefertari application with authentication: members, their profiles, stories and badges.

What anonymous callers, members and admins may see differs from model to model, and documents are
nested both ways. ``members.login`` chooses how callers authenticate: by a ticket in a cookie, by a
token, or by a header that is believed. Every response names the application's tables that were
read or written, for tests that check where a response came from.
"""

from __future__ import annotations

import re
from collections import Counter

from pyramid.authentication import AuthTktAuthenticationPolicy
from pyramid.authorization import ACLAuthorizationPolicy
from pyramid.config import Configurator
from pyramid.tweens import INGRESS
from sqlalchemy import event
from sqlalchemy.engine import Engine

from tests.apps.item_acls import trust_header
from tests.apps.wsgi import ini_text

#: header of responses: ``members_users=1, members_stories=2``
TABLES = "X-Tables"
INI = ini_text(
    "private_fields",
    """
database = unset
login = token
tunneling = false
hidden_fields = deny
public_max_limit = 100
default = mirror
trusted = tests.apps.private_fields.models.Draft.to_dict
engine = nefertari_sqla
""",
    """
get nefertari.engine = engine
auth = true
get public_max_limit = public_max_limit
get sqlalchemy.url = database
elasticsearch.enable_aggregations = true
elasticsearch.enable_polymorphic_query = true
get nefertari_search.read_from = default
get nefertari_search.hidden_fields = hidden_fields
nefertari_search.allow_leading_wildcards = true
nefertari_search.allow_regular_expressions = true
nefertari_search.search_timeout = 10
get nefertari_search.trusted_hooks = trusted
get members.login = login
get members.tunneling = tunneling
""",
)

_touched: Counter[str] = Counter()


def main(global_config, **settings):
    """Return the WSGI application."""
    config = Configurator(settings=settings)
    config.include("nefertari.engine")
    config.include(includeme)
    from nefertari.elasticsearch import ES
    from nefertari.engine import setup_database

    setup_database(config)
    ES.setup_mappings()
    config.add_tween("tests.apps.private_fields.note_tables", under=INGRESS)
    if config.registry.settings["members.tunneling"] == "true":
        config.add_tween("nefertari.tweens.get_tunneling")
    config.commit()
    return config.make_wsgi_app()


def includeme(config):
    """Include all at once: the package that includes nefertari has the resources' settings."""
    config.include("tests.apps.private_fields.models")
    config.include("nefertari")
    config.include("nefertari.authentication")
    config.include("nefertari.view")
    config.include("nefertari.elasticsearch")
    config.include("nefertari.json_httpexceptions")
    _authenticate(config, config.registry.settings["members.login"])
    # Before the views: the last resource of a model is the one that its objects link to.
    config.include("tests.apps.private_fields.results")
    config.include("tests.apps.private_fields.views")


def _authenticate(config, login):
    from nefertari.authentication.policies import ApiKeyAuthenticationPolicy

    from tests.apps.private_fields.models import Member

    if login == "header":
        trust_header(config)
        return
    if login == "ticket":
        policy = AuthTktAuthenticationPolicy(
            "a secret of tests", callback=Member.get_groups_by_userid, hashalg="sha512"
        )
        user = Member.get_authuser_by_userid
    else:
        policy = ApiKeyAuthenticationPolicy(
            Member,
            check=_once(Member.get_groups_by_token),
            credentials_callback=Member.get_token_credentials,
        )
        user = Member.get_authuser_by_name
    config.set_authentication_policy(policy)
    config.set_authorization_policy(ACLAuthorizationPolicy())
    config.add_request_method(user, "user", reify=True)


def _once(groups):
    """Cache *groups* for a request: Pyramid calls it repeatedly, and nefertari reads member and
    token each time, which would take most of the time of thousands of probes."""

    def check(name, credentials, request):
        cached = request.__dict__.setdefault("members.groups", {})
        if (name, credentials) not in cached:
            cached[name, credentials] = groups(name, credentials, request)
        return cached[name, credentials]

    return check


def note_tables(handler, registry):
    """Tween that lists the tables that a request touched in a header. One request at a time."""

    @event.listens_for(Engine, "before_cursor_execute")
    def note(connection, cursor, statement, *_):
        names = set(re.findall(r"\b(?:FROM|JOIN|INTO|UPDATE) (\w+)", statement))
        _touched.update(name for name in names if not name.startswith("nefertari_search_"))

    def tween(request):
        _touched.clear()
        response = handler(request)
        touched = sorted(_touched.items())
        response.headers[TABLES] = ", ".join(f"{name}={count}" for name, count in touched)
        return response

    return tween
