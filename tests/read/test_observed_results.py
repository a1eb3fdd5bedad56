"""What a view does with its collection, or to the database, has the same result as on the primary.

Each view (tests/apps/observed/views.py) is asked twice, the second time with ``_search=false``.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import pytest
import transaction
from webtest import TestApp

from tests.support.apps import forget_sessions, index_everything, observed
from tests.support.compare_answers import engine_of

pytestmark = [pytest.mark.every_backend, pytest.mark.every_primary]

# The application's modules can be imported once it has its engine.
PROBES = (
    *("attributes", "contains", "dicts", "equality", "hashes", "identity", "instances", "length"),
    *("lists", "missing", "position", "positions", "query", "related", "reloaded", "reversed"),
    *("selected", "session", "shuffled", "slices", "sorted", "state", "subquery", "texts", "types"),
)
WRITES = (
    *("bulk", "change", "commit", "connection_core", "connection_text", "core", "cursor", "driver"),
    *("engine_core", "engine_text", "flush", "raw_connection", "savepoint", "session_text"),
)
# Of a date, where a ListField can have it.
DAY = datetime.date(2020, 2, 29)


@pytest.fixture(scope="module")
def app(primary_url: str, backend_url: str, module_prefix: str) -> Iterator[TestApp]:
    yield observed(primary_url, backend_url, module_prefix)
    forget_sessions()


@pytest.fixture(autouse=True)
def _things(app: TestApp) -> Iterator[None]:
    """Three things, whose documents are those of the database."""
    from pyramid_sqlalchemy import Session, metadata

    from tests.apps.observed.models import LINKS, Caption, Thing

    forget_sessions()
    postgresql = metadata.bind.dialect.name == "postgresql"
    with transaction.manager:
        for table in (LINKS, Thing.__table__, Caption.__table__):
            Session().execute(table.delete())
        labels = [Caption(id=number, name=f"label {number}") for number in (1, 2)]
        for number, name in enumerate(("one", "two", "three"), start=1):
            thing = Thing(id=number, name=name, words=["b", "a"], options={"x": [1, None]})
            thing.days = [DAY] if postgresql else []
            thing.pickle = {"day": DAY, "pair": (1, 2)}
            thing.labels = labels[:number]
            Session().add(thing)
        Session().flush()
        # Without places the order is the database's choice, which may differ from read to read.
        Session().execute(LINKS.update().values(place=-LINKS.c.label_id))
    index_everything(app)
    yield
    forget_sessions()


def both(app: TestApp, path: str) -> tuple[Any, Any]:
    """Return the answers of the mirror, or whoever answers for it, and of the primary."""
    flag = "&" if "?" in path else "?"
    answers = app.get(path), app.get(f"{path}{flag}_search=false")
    assert answers[0].body == answers[1].body
    return answers


def names_in(response: Any) -> list[str]:
    return [each["name"] for each in response.json["data"]]


def test_all_ways_are_tested(app: TestApp) -> None:
    from tests.apps.observed import views

    assert tuple(sorted(views.PROBES)) == PROBES
    assert tuple(sorted(views.WRITES)) == WRITES


@pytest.mark.parametrize("probe", PROBES)
def test_a_view_sees_what_the_primary_has(app: TestApp, probe: str) -> None:
    mirror, _ = both(app, f"/probe_{probe}_s?_sort=id")
    without_objects = probe in ("position", "query")
    assert engine_of(mirror) == ("mirror" if without_objects else "primary; reason=used-as-query")


@pytest.mark.parametrize("probe", ["contains", "types", "reloaded", "equality", "instances"])
def test_objects_are_those_that_the_session_has(app: TestApp, probe: str) -> None:
    assert "False" not in app.get(f"/probe_{probe}_s?_sort=id").json["report"]


def test_a_view_that_returns_its_collection_is_answered_by_the_mirror(app: TestApp) -> None:
    mirror, _ = both(app, "/things?_sort=id")
    assert engine_of(mirror) == "mirror"
    assert mirror.json["data"][0]["pickle"] == {"day": "2020-02-29T00:00:00Z", "pair": [1, 2]}


@pytest.mark.parametrize("fields", ["name,words,options", "name,ordered", "days", "pickle"])
def test_rows_have_the_values_of_the_primary(app: TestApp, fields: str) -> None:
    """Values that a document can't restore, as those of the last two, are the primary's."""
    mirror, _ = both(app, f"/rows?_sort=id&_fields={fields}")
    restorable = fields not in ("pickle", "days") or "datetime" not in mirror.json["report"]
    assert engine_of(mirror) == ("mirror" if restorable else "primary; reason=inexact-values")


def test_documents_that_python_asks_for_are_equal_to_objects(app: TestApp) -> None:
    from tests.apps.observed.models import Caption, Thing

    documents = list(Thing.get_collection(_query_secondary=True, _sort="id"))
    one, two = Thing.get_item(id=1), Thing.get_item(id=2)
    assert [one == each for each in documents] == [True, False, False]
    assert [each == two for each in documents] == [False, True, False]
    assert one in documents and documents.index(two) == 1
    assert documents[0] != Caption.get_item(id=1)
    assert [each.days for each in documents] == [each.days for each in (one, two, one)]
    assert documents[0].to_dict() == one.to_dict()


# Writes


@pytest.mark.parametrize("write", WRITES)
def test_what_a_view_writes_before_it_returns_is_shown(app: TestApp, write: str) -> None:
    assert names_in(app.get("/things?_sort=id")) == ["one", "two", "three"]
    response = app.get(f"/afterwards_{write}_s?_sort=id")
    assert names_in(response) == ["written"] * 3
    assert engine_of(response) == "primary; reason=open-transaction"


@pytest.mark.parametrize("write", WRITES)
def test_what_a_view_writes_before_it_reads_is_read(app: TestApp, write: str) -> None:
    from tests.apps.observed.views import UNCOMMITTED

    response = app.get(f"/beforehand_{write}_s?_sort=id")
    followed = write != "raw_connection" and not write.endswith("_text")
    if write in UNCOMMITTED:
        assert engine_of(response) == "primary; reason=open-transaction"
    if write in UNCOMMITTED or followed:
        assert names_in(response) == ["written"] * 3


def test_a_view_that_only_reads_meanwhile_is_answered_by_the_mirror(app: TestApp) -> None:
    mirror, _ = both(app, "/reads?_sort=id")
    assert engine_of(mirror) == "mirror"
