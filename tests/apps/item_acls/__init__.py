"""A nefertari application with ``database_acls``: every story and author has an ACL of its own.

Who asks, and in which groups, is said by a header; that is enough here, and lets a test be anybody.
"""

from __future__ import annotations

from pyramid.authentication import CallbackAuthenticationPolicy
from pyramid.authorization import ACLAuthorizationPolicy
from pyramid.config import Configurator

from tests.apps.wsgi import ini_text

#: header of requests: a user, and the groups that it is in, joined by commas
PRINCIPALS = "X-Principals"
INI = ini_text(
    "item_acls",
    """
database = unset
fallback = true
engine = nefertari_sqla
""",
    """
get nefertari.engine = engine
auth = true
database_acls = true
get sqlalchemy.url = database
elasticsearch.enable_aggregations = true
elasticsearch.enable_polymorphic_query = true
get nefertari_search.fallback_to_primary = fallback
nefertari_search.search_timeout = 10
""",
)


class HeaderPolicy(CallbackAuthenticationPolicy):
    """Trust the principals in the header."""

    def __init__(self):
        self.callback = lambda userid, request: _principals(request)[1:]

    def unauthenticated_userid(self, request):
        return next(iter(_principals(request)), None)


class User:
    """As nefertari wants it."""

    def __init__(self, groups):
        self.groups = groups

    @classmethod
    def is_admin(cls, user):
        return "g:admin" in user.groups


def _principals(request):
    principals = request.headers.get(PRINCIPALS, "")
    return [each for each in principals.split(",") if each]


def name_of(request):
    """Return the name of the user who asks; '' for an anonymous caller."""
    return next(iter(_principals(request)), "")


def _user(request):
    principals = _principals(request)
    return User(principals[1:]) if principals else None


def trust_header(config):
    """Let the header say who asks."""
    config.set_authentication_policy(HeaderPolicy())
    config.set_authorization_policy(ACLAuthorizationPolicy())
    config.add_request_method(_user, "user", property=True)


def main(global_config, **settings):
    """Return the WSGI application."""
    config = Configurator(settings=settings)
    config.include("nefertari.engine")
    config.include(includeme)
    from nefertari.elasticsearch import ES
    from nefertari.engine import setup_database

    setup_database(config)
    ES.setup_mappings()
    config.commit()
    return config.make_wsgi_app()


def includeme(config):
    """All in one include: the package that includes nefertari has the resources' settings."""
    config.include("nefertari")
    config.include("nefertari.view")
    config.include("nefertari.elasticsearch")
    config.include("nefertari.json_httpexceptions")
    config.include("nefertari_guards")
    trust_header(config)
    config.include("tests.apps.item_acls.models")
    config.include("tests.apps.item_acls.views")
