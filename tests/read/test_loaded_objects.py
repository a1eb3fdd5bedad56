"""Python code that runs when an object is loaded, or when it is asked for its values.

What it makes of them is in no column, so the primary answers.

Each kind is added to a running application, and taken away again.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import transaction
from sqlalchemy import event
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import Mapper, mapper
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.orm.instrumentation import instance_dict
from webtest import TestApp

from tests.read.privacy.test_request_hooks import listening
from tests.support.apps import forget_sessions, index_everything, observed, search_of

pytestmark = [pytest.mark.every_backend, pytest.mark.every_primary]


@pytest.fixture(scope="module")
def app(primary_url: str, backend_url: str, module_prefix: str) -> Iterator[TestApp]:
    from pyramid_sqlalchemy import Session

    app = observed(primary_url, backend_url, module_prefix)
    from tests.apps.observed.models import Caption, Thing

    with transaction.manager:
        labels = [Caption(id=number, name=f"label {number}") for number in (1, 2)]
        Session().add_all(labels)
        Session().add(Thing(id=1, name="one", options={"a": 1}, labels=labels))
        Session().add(Thing(id=2, name="two", options={"a": 2}))
    index_everything(app)
    yield app
    forget_sessions()


def shout(thing: Any, *context: Any) -> None:
    """A listener: the name is in upper case, whatever the database has."""
    if "name" in instance_dict(thing):
        set_committed_value(thing, "name", thing.name.upper())


def without_first(target: Any, collection: Any, adapter: Any) -> None:
    """A listener: a collection forgets what it is given."""
    adapter.append_without_event = lambda item, _sa_initiator=None: None


@contextlib.contextmanager
def member(cls: Any, name: str, value: Any) -> Iterator[None]:
    """Put *value* there for a while, past SQLAlchemy's own ``__setattr__`` of classes."""
    present = vars(cls).get(name)
    type.__setattr__(cls, name, value)
    try:
        yield
    finally:
        if present is None:
            type.__delattr__(cls, name)
        else:
            type.__setattr__(cls, name, present)


def thing() -> Any:
    from tests.apps.observed.models import Thing

    return Thing


def base_class() -> Any:
    from nefertari.engine import ESBaseDocument

    return ESBaseDocument


class Shouting:
    """A descriptor of the application's own in the place of a column's."""

    def __init__(self, attribute: Any) -> None:
        self.attribute = attribute

    def __get__(self, instance: Any, owner: Any) -> Any:
        value = self.attribute.__get__(instance, owner)
        return value if instance is None else value.upper()

    def __set__(self, instance: Any, value: Any) -> None:
        self.attribute.__set__(instance, value)


def asking(self: Any, name: str) -> Any:
    value = object.__getattribute__(self, name)
    return value.upper() if name == "name" else value


class ShoutingDict(MutableDict):
    """A mutable type of the application's own."""

    @classmethod
    def coerce(cls, key: str, value: Any) -> Any:
        return cls({name: 10 * each for name, each in value.items()})


@contextlib.contextmanager
def mutable() -> Iterator[None]:
    """As ``ShoutingDict.as_mutable`` makes it: a listener of SQLAlchemy's that calls the class."""
    listeners: list[Any] = []
    listen = event.listen

    def noting(target: Any, name: str, listener: Any, **options: Any) -> None:
        listeners.append((target, name, listener))
        listen(target, name, listener, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event, "listen", noting)
        ShoutingDict.associate_with_attribute(thing().options)
    try:
        yield
    finally:
        for each in listeners:
            event.remove(*each)


HOOKS: dict[str, Callable[[], Any]] = {
    "load of the class": lambda: listening(thing(), "load", shout),
    "load of the mapper": lambda: listening(thing().__mapper__, "load", shout),
    "load of a base class": lambda: listening(base_class(), "load", shout, propagate=True),
    "load of all mappers": lambda: listening(mapper, "load", shout),
    "load of the class of mappers": lambda: listening(Mapper, "load", shout),
    "load by a partial": lambda: listening(thing(), "load", functools.partial(shout)),
    "refresh": lambda: listening(thing(), "refresh", shout),
    "collections": lambda: listening(thing().labels, "init_collection", without_first),
    "mutable": mutable,
    "__getattribute__": lambda: member(thing(), "__getattribute__", asking),
    "property": lambda: member(thing(), "name", property(lambda self: "mine")),
    "descriptor": lambda: member(thing(), "name", Shouting(vars(thing())["name"])),
    "descriptor of a relationship": lambda: member(thing(), "labels", property(lambda self: [])),
}
#: changes no answer here, but could
HARMLESS = "refresh"


@pytest.mark.parametrize("kind", HOOKS)
def test_the_primary_answers_while_code_is_there(app: TestApp, kind: str) -> None:
    forget_sessions()
    before = app.get("/things?_sort=id")
    assert before.headers["X-Search-Engine"] == "mirror"
    with HOOKS[kind]():
        response = app.get("/things?_sort=id")
        assert response.headers["X-Search-Engine"].startswith("primary; reason=")
        assert response.body == app.get("/things?_sort=id&_search=false").body
        assert (response.body == before.body) is (kind == HARMLESS)
        app.get("/things?_search=true", status=503)
    forget_sessions()
    after = app.get("/things?_sort=id")
    assert after.headers["X-Search-Engine"] == "mirror" and after.body == before.body


@pytest.mark.parametrize(
    ("path", "reason"), [("/own_makers", "custom-to-dict"), ("/rebuilts", "request-hooks")]
)
def test_the_primary_answers_for_a_model_with_code_of_that_kind(
    app: TestApp, path: str, reason: str
) -> None:
    app.post_json(path, {"id": 1})
    response = app.get(path)
    assert response.headers["X-Search-Engine"] == f"primary; reason={reason}"
    assert response.json["data"][0].get("name", "rebuilt") == "rebuilt"


def test_a_hook_that_is_trusted_may_still_change_values(
    app: TestApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for all requests, it says; the documents are made of columns all the same."""
    hooks = search_of(app).mirrors.get("Thing").hooks
    monkeypatch.setattr(hooks, "trusted", frozenset({f"{__name__}.shout"}))
    with listening(thing(), "load", shout):
        response = app.get("/things?_sort=id")
        assert response.headers["X-Search-Engine"] == "primary; reason=custom-to-dict"
        assert [each["name"] for each in response.json["data"]] == ["ONE", "TWO"]
        app.get("/things?_search=true")
