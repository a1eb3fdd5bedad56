"""What an application does to its own documents for each request stays with it on MongoDB, too; and
``_fields`` with relationships.

The promises are those of read/privacy/test_request_hooks.py and of
read/test_fields_of_relationships.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from mongoengine import QuerySet, signals
from mongoengine.queryset.manager import queryset_manager
from pyramid.threadlocal import get_current_request
from webtest import TestApp

from tests.apps.every_field_mongo.content import fill
from tests.support import mongodb as on_mongodb
from tests.support.apps import search_of
from tests.support.random_requests import zoo_paths

pytestmark = [pytest.mark.mongodb, pytest.mark.every_backend]

RELATED = {
    "/items": ["keeper", "label", "tags"],
    "/keepers": ["items"],
    "/visits": ["item"],
    "/nodes": ["children"],
}


@pytest.fixture(scope="module")
def app(mongodb: dict[str, str], backend_url: str, module_prefix: str) -> Iterator[TestApp]:
    app = on_mongodb.zoo(mongodb, backend_url, module_prefix)
    fill(30)
    yield app
    search_of(app).indexer.recovery.stop()


def engine_of(app: TestApp, path: str) -> str:
    return str(app.get(path).headers["X-Search-Engine"])


class Own(QuerySet):
    """A query set that may know the current request."""


def touch(sender: Any, document: Any, **kwargs: Any) -> None:
    """A receiver that may change what was loaded."""


def secret(self: Any, **kwargs: Any) -> Any:
    data = super(type(self), self).to_dict(**kwargs)
    request = get_current_request()
    data["mark"] = "everybody" if request is None else "for bob"
    return data


@pytest.mark.thorough
def test_a_query_set_of_its_own(app: TestApp) -> None:
    from tests.apps.every_field_mongo.models import Item

    assert engine_of(app, "/items") == "mirror"
    Item._meta["queryset_class"] = Own
    try:
        hook = search_of(app).mirrors.get("Item").hooks.first()
        assert hook is not None and hook.name == f"{__name__}.Own"
        assert engine_of(app, "/items") == "primary; reason=request-hooks"
        refused = app.get("/items?q=lion", status=503)
        assert refused.headers["X-Search-Engine"] == "none; reason=request-hooks"
        # Nested there.
        assert engine_of(app, "/visits") == "primary; reason=request-hooks"
        assert engine_of(app, "/marked") == "mirror"
    finally:
        del Item._meta["queryset_class"]
    assert engine_of(app, "/items") == "mirror"


def test_a_query_set_manager(app: TestApp) -> None:
    from tests.apps.every_field_mongo.models import Marked

    before = vars(Marked)["objects"]
    Marked.objects = queryset_manager(lambda cls, queryset: queryset.filter(name="own"))
    try:
        assert engine_of(app, "/marked") == "primary; reason=request-hooks"
        app.get("/marked?_search=true", status=503)
        app.post_json("/marked", {"name": "others"})
    finally:
        Marked.objects = before
    assert engine_of(app, "/marked") == "mirror"
    assert "others" in [each["name"] for each in app.get("/marked?_limit=100").json["data"]]


def test_a_receiver_of_loaded_objects(app: TestApp) -> None:
    from tests.apps.every_field_mongo.models import Keeper

    signals.post_init.connect(touch, sender=Keeper)
    try:
        assert engine_of(app, "/items") == "primary; reason=request-hooks"
        assert engine_of(app, "/marked") == "mirror"
    finally:
        signals.post_init.disconnect(touch, sender=Keeper)
    assert engine_of(app, "/items") == "mirror"


@pytest.mark.parametrize("name", ["Item", "Keeper", "Label", "Node", "Tag", "Visit", "Marked"])
def test_a_model_that_renders_itself_wherever_it_is_nested(app: TestApp, name: str) -> None:
    from tests.apps.every_field_mongo import models

    model = getattr(models, name)
    model.to_dict = secret
    try:
        for path in zoo_paths(models):
            primary = app.get(f"{path}?_limit=1000&_search=false")
            answer = app.get(f"{path}?_limit=1000")
            if '"for bob"' in primary.text:
                assert answer.headers["X-Search-Engine"] == "primary; reason=custom-to-dict", path
                assert '"everybody"' not in answer.text
                refused = app.get(f"{path}?_search=true", status=503)
                assert refused.headers["X-Search-Engine"] == "none; reason=custom-to-dict"
    finally:
        del model.to_dict
    assert engine_of(app, "/items") == "mirror"


@pytest.mark.parametrize(
    ("path", "fields"), [("/items", "thing"), ("/items", "options"), ("/visits", "item")]
)
def test_a_value_that_no_document_has_is_the_primarys(app: TestApp, path: str, fields: str) -> None:
    """Of dates in pickles and dicts, it has the JSON; the primary's object would be shown whole."""
    query = f"{path}?_limit=50&_fields={fields}"
    assert engine_of(app, query) == "primary; reason=inexact-values"
    assert app.get(query).json == app.get(f"{query}&_search=false").json
    assert engine_of(app, f"{path}?_limit=50&_fields=id") == "mirror"


@pytest.mark.parametrize("path", sorted(RELATED))
def test_fields_show_what_documents_show(app: TestApp, path: str) -> None:
    """nefertari_mongodb returns whole objects, whose other fields are empty."""
    from tests.apps.every_field_mongo import models

    pk = zoo_paths(models)[path].pk_field()
    query = f"{path}?_sort={pk}&_limit=50"
    for item in models.Item.objects:
        item.thing, item.options = None, {"x": 1}
        item.save()
    full = app.get(f"{query}&_search=false").json["data"]
    for name in RELATED[path]:
        for text in (name, f"{name},{pk}", f"-{name}"):
            mirrored = app.get(f"{query}&_fields={text}")
            primary = app.get(f"{query}&_fields={text}&_search=false")
            assert mirrored.headers["X-Search-Engine"] == "mirror", text
            assert mirrored.json == primary.json, text
            for row, document in zip(primary.json["data"], full):
                if not text.startswith("-"):
                    assert row[name] == document[name]
                else:
                    others = {*document} - {name}
                    assert {each: row[each] for each in others} == {
                        each: document[each] for each in others
                    }
