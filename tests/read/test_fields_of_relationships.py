"""``_fields`` with relationships: what the whole document shows of them, whoever answers.

Every model of the zoo that has a relationship, by every form of ``_fields`` that selects one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import transaction
from sqlalchemy import event
from sqlalchemy.engine import Engine
from webtest import TestApp

from tests.apps.every_field.content import fill_zoo
from tests.support import apps
from tests.support.apps import Films
from tests.support.random_requests import zoo_paths

pytestmark = [pytest.mark.every_backend, pytest.mark.slow]

#: path -> relationships of its model
RELATED = {
    "/items": ["keeper", "label", "tags"],
    "/keepers": ["items"],
    "/labels": ["item"],
    "/tags": ["items"],
    "/visits": ["item"],
    "/nodes": ["children", "parent"],
    "/pens": ["meals"],
    "/rounds": ["meals"],
    "/meals": ["pen", "rounds"],
}
FEW_SECONDS = 15.0


@pytest.fixture(scope="module")
def app(primary_url: str, backend_url: str, module_prefix: str) -> Iterator[TestApp]:
    app = apps.zoo(primary_url, backend_url, module_prefix)
    fill_zoo(60)
    yield app
    apps.forget_sessions()


def picks(fields: list[str], related: list[str], pk: str) -> list[tuple[str, list[str]]]:
    """Return values of ``_fields``, and the names that each selects."""
    column = next(name for name in fields if name not in (*related, pk))
    values = [
        *((name, [name]) for name in related),
        *((f"{name},{column}", [name, column]) for name in related),
        (",".join([pk, *related]), [pk, *related]),
        (f"-{column}", [name for name in fields if name != column]),
        (f"-{pk}", [name for name in fields if name != pk]),
        (f"{related[0]},{column},-{column}", [related[0]]),
    ]
    if len(related) > 1:
        values.append((f"-{related[0]}", [name for name in fields if name != related[0]]))
    return values


def settled(value: Any) -> Any:
    """*value* with its lists of keys in order: that of the database is its own."""
    if isinstance(value, list):
        return sorted((settled(each) for each in value), key=json.dumps)
    if isinstance(value, dict):
        return {name: settled(each) for name, each in value.items()}
    return value


def check_rows(rows: list[Any], full: list[Any], picked: set[str]) -> None:
    """Compare *rows* with whole documents.

    :param picked: names of the fields; nefertari has the primary key only where it is named.
    """
    assert len(rows) == len(full) > 0
    for row, document in zip(rows, full):
        assert list(row) == [*sorted(picked), "_type", "_pk", "_self"]
        assert str(row["_pk"]) == document["_pk"]
        for name in picked:
            assert settled(row[name]) == settled(document[name]), name


@pytest.mark.every_primary
@pytest.mark.parametrize(("path", "name"), [("/items", "thing"), ("/visits", "item")])
def test_a_value_that_no_document_has_is_the_primarys(app: TestApp, path: str, name: str) -> None:
    """A row would have its JSON in the place of what was pickled."""
    for text in (name, f"id,{name}", "-guest" if path == "/visits" else "-name"):
        query = f"{path}?_sort=id&_limit=25&_fields={text}"
        answer = app.get(query)
        assert answer.headers["X-Search-Engine"] == "primary; reason=inexact-values", text
        assert settled(answer.json) == settled(app.get(f"{query}&_search=false").json)
    answer = app.get(f"{path}?_sort=id&_limit=25&_fields=-{name}")
    assert answer.headers["X-Search-Engine"] == "mirror"


@pytest.mark.every_primary
@pytest.mark.parametrize("path", sorted(RELATED))
def test_rows_show_what_documents_show(app: TestApp, path: str) -> None:
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field import models

    paths = {**zoo_paths(models), "/labels": models.Label}
    paths |= {"/pens": models.Pen, "/rounds": models.Round, "/meals": models.Meal}
    model = paths[path]
    pk = model.pk_field()
    assert sorted(RELATED[path]) == sorted(model._mapped_relationships())
    with transaction.manager:
        for item in Session().query(models.Item):
            item.thing = {"x": [1]}
    sort = f"_sort={pk}&_limit=25"
    full = app.get(f"{path}?{sort}&_search=false").json
    for text, picked in picks(model.native_fields(), RELATED[path], pk):
        mirrored = app.get(f"{path}?{sort}&_fields={text}")
        primary = app.get(f"{path}?{sort}&_fields={text}&_search=false")
        if path != "/labels":
            assert primary.headers["X-Search-Engine"] == "primary; reason=search-false"
            assert mirrored.headers["X-Search-Engine"] == "mirror", text
        assert settled(mirrored.json) == settled(primary.json), text
        assert list(mirrored.json) == list(primary.json)
        assert [list(row) for row in mirrored.json["data"]] == [
            list(row) for row in primary.json["data"]
        ]
        assert primary.json["total"] == full["total"]
        assert primary.json["fields"] == text.split(",")
        check_rows(primary.json["data"], full["data"], {*picked} - ({pk} - {*text.split(",")}))


@pytest.mark.every_primary
def test_filters_pages_and_counts_go_with_it(app: TestApp) -> None:
    whole = app.get("/items?_sort=id&_limit=100&_search=false").json["data"]
    kinds = [row for row in whole if row["kind"] == "red"]
    for engine in ("", "&_search=false"):
        rows = app.get(f"/items?kind=red&_fields=tags&_sort=-id&_limit=2&_start=1{engine}").json
        assert rows["total"] == len(kinds) and rows["start"] == 1
        assert [row["_pk"] for row in rows["data"]] == [each["id"] for each in kinds[::-1][1:3]]
        assert app.get(f"/items?kind=red&_fields=tags&_count{engine}").json["data"] == len(kinds)


def test_a_query_of_a_view_is_its_rows(app: TestApp) -> None:
    """Narrowed before, and a list as with columns alone; without ``_fields`` it is a query."""
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field.models import Item, Keeper

    with transaction.manager:
        query = Session().query(Item).join(Keeper).filter(Keeper.code == "B").order_by(Item.id)
        expected = [(item.id, "B", [tag.id for tag in item.tags]) for item in query]
        assert expected
        rows = Item.get_collection(query_set=query, _fields="tags,keeper", _sort="id")
        assert type(rows) is type(Item.get_collection(query_set=query, _fields="name"))
        assert [(r["_pk"], r["keeper"]["code"], sorted(r["tags"])) for r in rows] == [
            (pk, code, sorted(tags)) for pk, code, tags in expected
        ]
        narrowed = Item.apply_fields(query, ["tags"]).filter(Item.id > expected[0][0])
        assert narrowed.count() == len(expected) - 1
        explained = Item.get_collection(_fields="tags", _explain="")
        assert "zoo_items" in explained and "zoo_tags" not in explained
    with transaction.manager:
        (row,) = Item.get_collection(_fields="tags", id=expected[0][0])
        assert sorted(row["tags"]) == sorted(expected[0][2])


def test_unknown_names_are_errors_as_ever(app: TestApp) -> None:
    for text in ("tags,nope", "nope", "-nope"):
        for engine in ("", "&_search=false"):
            answer = app.get(f"/items?_fields={text}{engine}", status=400)
            assert "does not have fields: nope" in answer.json["message"]


def test_a_model_with_its_own_rendering_shows_what_that_shows(app: TestApp) -> None:
    """What its ``to_dict`` makes of a relationship, or leaves out, is no other in a row."""
    from tests.apps.every_field.models import Keeper

    def to_dict(self: Any, **kwargs: Any) -> Any:
        data = super(Keeper, self).to_dict(**kwargs)
        data["items"] = len(data["items"])
        if self.code == "B":
            del data["items"]
        return data

    Keeper.to_dict = to_dict
    try:
        answer = app.get("/keepers?_fields=items,code&_search=false").json["data"]
        rows = {row["code"]: row for row in answer}
        assert "items" not in rows["B"]
        assert all(type(row["items"]) is int for code, row in rows.items() if code != "B")
    finally:
        del Keeper.to_dict


class Statements:
    """Counts what the database is asked while requests are answered."""

    def __init__(self, app: TestApp) -> None:
        self.app = app
        self.count = 0

    def get(self, path: str) -> tuple[Any, int, float]:
        """Return the response, the number of statements and seconds."""
        self.count, started = 0, time.perf_counter()
        event.listen(Engine, "before_cursor_execute", self._note)
        try:
            response = self.app.get(path)
        finally:
            event.remove(Engine, "before_cursor_execute", self._note)
        return response, self.count, time.perf_counter() - started

    def _note(self, *arguments: Any) -> None:
        self.count += 1


@pytest.fixture(scope="module")
def film_app(loaded_films: Films) -> Iterator[TestApp]:
    yield apps.films(*loaded_films)
    apps.forget_sessions()


@pytest.mark.thorough
@pytest.mark.parametrize("text", ["-title", "genres", "director,title"])
def test_many_rows_take_time_in_proportion(film_app: TestApp, text: str) -> None:
    """17,472 films: one row each, and one statement for hundreds of them, not for each."""
    statements = Statements(film_app)
    total = film_app.get("/films?_count").json["data"]
    assert total > 17_000
    for limit in (1000, 4000):
        path = f"/films?_fields={text}&_sort=id&_limit={limit}"
        primary, count, seconds = statements.get(f"{path}&_search=false")
        assert primary.json["total"] == total and primary.json["count"] == limit
        assert count < limit / 10, count
        assert seconds < FEW_SECONDS * limit / 1000, seconds
        mirrored, _, _ = statements.get(path)
        assert mirrored.headers["X-Search-Engine"] == "mirror"
        assert mirrored.json == primary.json
