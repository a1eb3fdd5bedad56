"""What an application does to its own queries and documents for each request stays with it.

A mirror has one answer for all requests. Whatever may make another of it (a tenant's filter on
every query, a ``to_dict`` that looks at the request, row security) is seen, at start or when it is
added: then the primary answers, no search does, and the index misses nothing.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import transaction
from pyramid.threadlocal import get_current_request
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Query
from webtest import TestApp

from nefertari_search_tween.primary.sqla import row_queries
from tests.apps.every_field.content import fill_zoo
from tests.support import apps
from tests.support.random_requests import zoo_paths

pytestmark = [pytest.mark.every_backend, pytest.mark.every_primary, pytest.mark.slow]

OWNERS = ("alice", "bob")
AGGREGATIONS = {"elasticsearch.enable_aggregations": "true"}
REFUSED = (
    "/items?q=lion",
    "/items?_search=true&owner=alice",
    "/items?_search=true&_count",
    "/items?_aggs.o.terms.field=owner",
    "/founds",
)
#: whose request it is, as a tween of the application would set it
TENANT = {"owner": ""}


@pytest.fixture(scope="module")
def app(primary_url: str, backend_url: str, module_prefix: str) -> Iterator[TestApp]:
    app = apps.zoo(primary_url, backend_url, module_prefix, **AGGREGATIONS)
    fill_zoo(60)
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field.models import Item

    with transaction.manager:
        for at, item in enumerate(Session().query(Item).order_by(Item.id)):
            item.owner = OWNERS[at % 2]
    yield app
    apps.forget_sessions()


def all_paths() -> dict[str, Any]:
    from tests.apps.every_field import models

    ordered = {"/pens": models.Pen, "/rounds": models.Round, "/meals": models.Meal}
    return {**zoo_paths(models), **ordered}


@contextlib.contextmanager
def listening(target: Any, name: str, listener: Any, **options: Any) -> Iterator[None]:
    event.listen(target, name, listener, **options)
    try:
        yield
    finally:
        event.remove(target, name, listener)


def only_own(query: Any) -> Any:
    """The recipe of SQLAlchemy's documentation, for tenants."""
    from tests.apps.every_field.models import Item

    for each in query.column_descriptions:
        if each["entity"] is Item and TENANT["owner"]:
            query = query.enable_assertions(False).filter(Item.owner == TENANT["owner"])
    return query


class OwnQuery(Query):
    """A query class that does the same."""

    def __iter__(self) -> Any:
        return super(OwnQuery, only_own(self)).__iter__()


@contextlib.contextmanager
def tenant_filter(kind: str) -> Iterator[None]:
    """Each tenant of :data:`TENANT` sees its own items inside."""
    from pyramid_sqlalchemy import Session

    if kind == "before_compile":
        with listening(Query, "before_compile", only_own, retval=True):
            yield
        return
    apps.forget_sessions()
    Session.configure(query_cls=OwnQuery)
    try:
        yield
    finally:
        apps.forget_sessions()
        Session.configure(query_cls=Query)


@contextlib.contextmanager
def tenant(owner: str) -> Iterator[None]:
    TENANT["owner"] = owner
    try:
        yield
    finally:
        TENANT["owner"] = ""


def same_in_both(app: TestApp, path: str, pk: str) -> None:
    mirrored = app.get(f"{path}?_sort={pk}&_limit=1000")
    primary = app.get(f"{path}?_sort={pk}&_limit=1000&_search=false")
    assert mirrored.headers["X-Search-Engine"] == "mirror", path
    assert mirrored.json["total"] == primary.json["total"]
    assert [each["_pk"] for each in mirrored.json["data"]] == [
        each["_pk"] for each in primary.json["data"]
    ]


# Queries


@pytest.mark.parametrize("kind", ["before_compile", "query_cls"])
def test_a_tenant_gets_its_own_objects(app: TestApp, kind: str) -> None:
    """Added to a running application; nobody's rows are another's, none are missing later."""
    assert app.get("/items").headers["X-Search-Engine"] == "mirror"
    with tenant_filter(kind):
        # Made again by the first tenant that writes.
        row_queries._STATEMENTS.clear()
        row_queries._COMPILED.clear()
        for path in (*all_paths(), "/narrows"):
            engine = app.get(path).headers["X-Search-Engine"]
            assert engine == "primary; reason=request-hooks", path
        for owner in OWNERS:
            with tenant(owner):
                rows = app.get("/items?_limit=1000&_sort=id").json["data"]
                assert rows and {each["owner"] for each in rows} == {owner}
                rows = app.get("/items?_limit=1000&_fields=owner,tags").json["data"]
                assert rows and {each["owner"] for each in rows} == {owner}
            for path in REFUSED:
                answer = app.get(path, status=503)
                assert answer.headers["X-Search-Engine"] == "none; reason=request-hooks"
                assert "may depend on the request" in answer.json["message"]
        for owner in OWNERS:
            with tenant(owner):
                app.post_json("/items", {"name": "own", "owner": owner, "keeper_code": "a"})
        with tenant("bob"):
            # Nested in items of all tenants: those are indexed again, too.
            rename_keeper("a", f"renamed under {kind}")
    search = apps.search_of(app)
    assert search.outbox.pending_count() == 0 and search.outbox.dead_letters() == []
    for path, model in all_paths().items():
        if path != "/customs":
            same_in_both(app, path, model.pk_field())
    shown_items = app.get("/items?_limit=1000&_fields=owner,keeper").json["data"]
    renamed = [each for each in shown_items if each["keeper"] and each["keeper"]["code"] == "a"]
    assert {each["owner"] for each in renamed} == {*OWNERS}
    assert {each["keeper"]["name"] for each in renamed} == {f"renamed under {kind}"}


def rename_keeper(code: str, name: str) -> None:
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field.models import Keeper

    with transaction.manager:
        Session().query(Keeper).filter(Keeper.code == code).update(
            {"name": name}, synchronize_session=False
        )


def test_no_statement_is_compiled_with_a_tenants_condition(app: TestApp) -> None:
    """The reader's statements are made once, and run for all: made under a filter, too."""
    mirror = apps.search_of(app).mirrors.get("Item")
    with tenant_filter("before_compile"), tenant("alice"):
        row_queries._STATEMENTS.clear()
        row_queries._COMPILED.clear()
        with transaction.manager:
            from pyramid_sqlalchemy import Session

            pks = [row[0] for row in Session().execute("SELECT id FROM zoo_items")]
        assert sorted(mirror.reader.read(pks)) == sorted(pks)
        scanned = [pk for rows in mirror.reader.scan(10) for pk, _ in rows]
        assert scanned == sorted(pks)
    assert sorted(mirror.reader.read(pks)) == sorted(pks)


# What else could change an answer, and how each is seen


def change_statement(*arguments: Any) -> Any:
    return arguments[2], arguments[3]


def change_clause(*arguments: Any) -> Any:
    return arguments[1:4]


def ignore(*arguments: Any) -> None:
    """A listener that does nothing: who knows?"""


def note(connection: Any, cursor: Any, statement: str, *arguments: Any) -> None:
    """A listener that can't change a statement."""


@pytest.mark.parametrize(
    ("target", "name", "listener", "options"),
    [
        ("query", "before_compile", only_own, {"retval": True}),
        ("query", "before_compile", ignore, {}),
        ("query", "before_compile_update", ignore, {}),
        ("query", "before_compile_delete", ignore, {}),
        ("session", "after_begin", ignore, {}),
        ("session", "loaded_as_persistent", ignore, {}),
        ("class", "before_cursor_execute", change_statement, {"retval": True}),
        ("engine", "before_cursor_execute", change_statement, {"retval": True}),
        ("engine", "before_execute", change_clause, {"retval": True}),
        ("engine", "begin", ignore, {}),
        ("engine", "engine_connect", ignore, {}),
        ("engine", "do_execute", ignore, {}),
        ("pool", "checkout", ignore, {}),
        ("Item", "load", ignore, {}),
        ("Item", "refresh", ignore, {}),
        ("Keeper", "load", ignore, {}),
    ],
)
def test_a_listener_is_seen_while_it_listens(
    app: TestApp, target: str, name: str, listener: Any, options: Any
) -> None:
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field import models

    engine = Session.session_factory.kw["bind"]
    targets = {"query": Query, "session": Session, "class": Engine, "engine": engine}
    listened = {**targets, "pool": engine.pool, "Item": models.Item, "Keeper": models.Keeper}
    assert app.get("/items").headers["X-Search-Engine"] == "mirror"
    hooks = apps.search_of(app).mirrors.get("Item").hooks
    with listening(listened[target], name, listener, **options):
        hook = hooks.first()
        assert hook is not None and hook.name == f"{__name__}.{listener.__name__}"
        assert app.get("/items").headers["X-Search-Engine"] == "primary; reason=request-hooks"
        app.get("/items?q=lion", status=503)
    assert hooks.first() is None
    assert app.get("/items").headers["X-Search-Engine"] == "mirror"


def test_who_only_watches_is_no_hook(app: TestApp) -> None:
    with listening(Engine, "before_cursor_execute", note):
        assert app.get("/items").headers["X-Search-Engine"] == "mirror"
        assert app.get("/items?q=lion").headers["X-Search-Engine"] == "mirror"


def test_with_a_hook_that_reading_cant_switch_off_nothing_is_read(
    app: TestApp, caplog: Any
) -> None:
    """A part is not taken for everything: a rebuild ends, a write waits among the dead letters."""
    from nefertari_search_tween.exceptions import ConfigurationError

    search = apps.search_of(app)
    mirror = search.mirrors.get("Marked")
    with listening(Engine, "before_cursor_execute", change_statement, retval=True):
        with pytest.raises(
            ConfigurationError, match=r"Marked can't be indexed: .*change_statement"
        ):
            list(mirror.reader.scan(10))
        with caplog.at_level(logging.CRITICAL):
            app.post_json("/marked", {"name": "unread"})
    (letter,) = search.outbox.dead_letters()
    assert letter.key.model == "Marked" and "change_statement may hide" in letter.error
    # The mirror knows that it does not know this object.
    assert app.get("/marked").headers["X-Search-Engine"] == "primary; reason=inexact-values"
    assert search.outbox.retry([letter.key]) == 1
    search.indexer.drain()
    same_in_both(app, "/marked", "id")


# Documents


def secret(self: Any, **kwargs: Any) -> Any:
    """A to_dict that looks at the request."""
    data = super(type(self), self).to_dict(**kwargs)
    request = get_current_request()
    data["mark"] = "everybody" if request is None else f"for {request.remote_user}"
    return data


@pytest.mark.parametrize(
    "name", ["Item", "Keeper", "Label", "Meal", "Node", "Pen", "Round", "Tag", "Visit", "Marked"]
)
def test_a_model_that_renders_itself_wherever_it_is_nested(app: TestApp, name: str) -> None:
    """Set on a class of a running application; what shows it is told by what the primary shows."""
    from tests.apps.every_field import models

    model = getattr(models, name)
    model.to_dict = secret
    try:
        showing = 0
        for path in all_paths():
            bob = {"REMOTE_USER": "bob"}
            primary = app.get(f"{path}?_limit=1000&_search=false", extra_environ=bob)
            answer = app.get(f"{path}?_limit=1000", extra_environ=bob)
            if '"for bob"' in primary.text:
                showing += 1
                assert answer.headers["X-Search-Engine"] == "primary; reason=custom-to-dict", path
                assert '"everybody"' not in answer.text and '"for bob"' in answer.text
                refused = app.get(f"{path}?_search=true", extra_environ=bob, status=503)
                assert refused.headers["X-Search-Engine"] == "none; reason=custom-to-dict"
        assert showing or name in ("Label",)
        assert app.get("/tags").headers["X-Search-Engine"] == (
            "primary; reason=custom-to-dict" if name == "Tag" else "mirror"
        )
    finally:
        del model.to_dict
    assert app.get("/items").headers["X-Search-Engine"] == "mirror"


def wrapped(function: Any) -> Any:
    """Return *function* as a decorator would leave it: under the name of the original."""
    import functools

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def looked_up(self: Any, name: str) -> Any:
    """A look-up of an attribute that could look at the request."""
    return object.__getattribute__(self, name)


@pytest.mark.parametrize(
    ("owner", "name", "member"),
    [
        ("Keeper", "__json__", lambda self, request: {}),
        ("Keeper", "_type", property(lambda self: "Keeper")),
        ("Keeper", "native_fields", classmethod(lambda cls: ["code"])),
        ("Keeper", "_nested_relationships", property(lambda self: ())),
        ("Tag", "pk_field", classmethod(lambda cls: "id")),
        ("Keeper", "__getattribute__", looked_up),
        ("BaseMixin", "to_dict", None),
    ],
)
def test_other_members_that_render(app: TestApp, owner: str, name: str, member: Any) -> None:
    from nefertari_sqla.documents import BaseMixin

    from tests.apps.every_field import models

    cls = getattr(models, owner, BaseMixin)
    before = vars(cls).get(name)
    setattr(cls, name, wrapped(before) if member is None else member)
    try:
        hook = apps.search_of(app).mirrors.get("Item").hooks.first()
        assert hook is not None and hook.reason == "custom-to-dict"
    finally:
        delattr(cls, name)
        if before is not None:
            setattr(cls, name, before)
    assert apps.search_of(app).mirrors.get("Item").hooks.first() is None


def test_a_get_collection_of_its_own_is_called_or_nothing_is_searched(app: TestApp) -> None:
    """A transparent read calls it; a search would go around it."""
    from tests.apps.every_field.models import Item

    def get_collection(cls: Any, **params: Any) -> Any:
        return super(Item, cls).get_collection(**{**params, "owner": "bob"})

    Item.get_collection = classmethod(get_collection)
    try:
        answer = app.get("/items?_limit=1000")
        assert answer.headers["X-Search-Engine"] == "mirror"
        assert {each["owner"] for each in answer.json["data"]} == {"bob"}
        for path in REFUSED:
            refused = app.get(path, status=503)
            assert refused.headers["X-Search-Engine"] == "none; reason=request-hooks"
    finally:
        del Item.get_collection
    assert app.get("/items?q=lion").headers["X-Search-Engine"] == "mirror"


# Tables


def execute(database_url: str, *statements: str) -> None:
    from sqlalchemy import create_engine

    engine = create_engine(database_url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(statement)
    engine.dispose()


def views_as_tables(database_url: str) -> None:
    execute(
        database_url,
        "ALTER TABLE zoo_labels RENAME TO zoo_all_labels",
        "CREATE VIEW zoo_labels AS SELECT * FROM zoo_all_labels",
    )


def test_a_view_shows_everyone_something_else(
    primary_url: str, backend_url: str, index_prefix: str, caplog: Any
) -> None:
    """Found at start; the models that don't show it stay mirrors."""
    apps.zoo(primary_url, backend_url, index_prefix)
    apps.forget_sessions()
    views_as_tables(primary_url)
    try:
        with caplog.at_level(logging.WARNING):
            app = apps.zoo(primary_url, backend_url, f"{index_prefix}-views")
        assert "Item is read from the primary only, and can't be searched: " in caplog.text
        assert app.get("/items").headers["X-Search-Engine"] == "primary; reason=row-security"
        answer = app.get("/items?q=x", status=503)
        assert answer.headers["X-Search-Engine"] == "none; reason=row-security"
        assert app.get("/marked?_search=false").status_int == 200
        hooks = {each.name: each.hooks.first() for each in apps.search_of(app).mirrors}
        assert {name for name, hook in hooks.items() if hook} == {"Item", "Visit"}
        # No index is made of what may only seem to be empty.
        indices = {
            mirror.name
            for mirror in apps.search_of(app).mirrors
            if mirror.backend.get_mapping(mirror.alias) is not None
        }
        assert not indices & {"Item", "Visit"}
    finally:
        apps.forget_sessions()
        execute(
            primary_url,
            "DROP VIEW zoo_labels",
            "ALTER TABLE zoo_all_labels RENAME TO zoo_labels",
        )


def test_row_security_of_postgresql(
    app: TestApp, primary_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Switched on while the application runs; nothing of the table is read for the index."""
    if not primary_url.startswith("postgresql"):
        pytest.skip("a database with row security")
    from pyramid_sqlalchemy import Session

    from nefertari_search_tween.primary.sqla import request_hooks

    monkeypatch.setattr(request_hooks, "RECHECK_SECONDS", 0.0)
    engine = Session.session_factory.kw["bind"]
    enable = "ALTER TABLE zoo_keepers ENABLE ROW LEVEL SECURITY"
    for change in (enable, f"{enable}, FORCE ROW LEVEL SECURITY"):
        transaction.abort()
        engine.execute(change)
        try:
            for path in ("/keepers", "/items", "/visits"):
                engine_header = app.get(path).headers["X-Search-Engine"]
                assert engine_header == "primary; reason=row-security", path
                refused = app.get(f"{path}?_search=true", status=503)
                assert refused.headers["X-Search-Engine"] == "none; reason=row-security"
            assert app.get("/marked").headers["X-Search-Engine"] == "mirror"
            with pytest.raises(Exception, match="Keeper can't be indexed: zoo_keepers may hide"):
                list(apps.search_of(app).mirrors.get("Keeper").reader.scan(10))
        finally:
            transaction.abort()
            engine.execute(
                "ALTER TABLE zoo_keepers DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY"
            )
        assert app.get("/keepers").headers["X-Search-Engine"] == "mirror"


# Trust


def test_an_application_can_say_that_a_hook_is_the_same_for_all(
    primary_url: str, backend_url: str, index_prefix: str, caplog: Any
) -> None:
    """By its name in the log; a ``to_dict`` is then searched, as far as the index has it."""
    names = f"{__name__}.ignore tests.apps.zoo_models.Custom.to_dict"
    with listening(Query, "before_compile", ignore):
        with caplog.at_level(logging.WARNING):
            app = apps.zoo(primary_url, backend_url, index_prefix)
        assert f"can't be searched: {__name__}.ignore may answer" in caplog.text
        assert "name it in nefertari_search.trusted_hooks" in caplog.text
        assert app.get("/marked").headers["X-Search-Engine"] == "primary; reason=request-hooks"
        app = apps.zoo(
            primary_url, backend_url, index_prefix, **{"nefertari_search.trusted_hooks": names}
        )
        search = apps.search_of(app)
        assert [each.hook() for each in search.mirrors] == [None] * len(search.mirrors)
    trusting = apps.search_of(app).mirrors.get("Custom").hooks
    distrusting = type(trusting)(trusting.model, trusting._bind, ())
    hook = distrusting.first()
    assert hook is not None and hook.name == "tests.apps.zoo_models.Custom.to_dict"
    apps.forget_sessions()
