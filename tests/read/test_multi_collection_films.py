"""The film catalogue's collections together: the documentation's examples, and SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from pyramid.config import Configurator
from pyramid.paster import get_appsettings
from webtest import TestApp

from tests.read.test_search_reads import EXAMPLE, encoded
from tests.support.apps import (
    INI,
    Films,
    film_options,
    forget_sessions,
    leave_out_models_of_others,
)
from tests.support.paths import TOP
from tests.write.test_sync import statements

DOCUMENTATION = TOP / "docs" / "several.rst"
EXAMPLES = EXAMPLE.findall(DOCUMENTATION.read_text(encoding="utf-8"))
OBJECTS = """
CREATE TEMP VIEW objects AS
SELECT 'Film' AS type, id AS pk, title, NULL AS name, oscars FROM films
UNION ALL SELECT 'Person', id, NULL, name, NULL FROM people
UNION ALL SELECT 'Genre', id, NULL, name, NULL FROM genres
UNION ALL SELECT 'Country', id, NULL, name, NULL FROM countries
"""
EVERYTHING = "/films,people,genres,countries"


def together(config: Any) -> None:
    """The catalogue, and what applications include that have nefertari's search."""
    config.include("films")
    config.include("nefertari.elasticsearch")


@pytest.fixture(scope="module")
def app(loaded_films: Films) -> Iterator[TestApp]:
    from films import database_url

    forget_sessions()
    leave_out_models_of_others("films")
    options = film_options(*loaded_films)
    settings = get_appsettings(str(INI), options=options)
    settings["sqlalchemy.url"] = database_url(settings["sqlalchemy.url"])
    settings["elasticsearch.enable_polymorphic_query"] = "true"
    config = Configurator(settings=settings)
    config.include("nefertari.engine")
    config.include(together)
    config.commit()
    from nefertari.engine import setup_database

    setup_database(config)
    yield TestApp(config.make_wsgi_app())
    forget_sessions()


@pytest.fixture(scope="module")
def database(loaded_films: Films) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(loaded_films.directory / "films.sqlite")
    connection.execute(OBJECTS)
    yield connection
    connection.close()


def keys(body: dict[str, Any]) -> list[tuple[str, int]]:
    return [(each["_type"], int(each["_pk"])) for each in body["data"]]


def rows(database: sqlite3.Connection, sql: str) -> list[tuple[Any, ...]]:
    return database.execute(f"SELECT type, pk FROM objects {sql}").fetchall()


def test_the_documentation_has_examples() -> None:
    assert len([request for request, status, _ in EXAMPLES if not status]) >= 10
    assert len([request for request, status, _ in EXAMPLES if status]) >= 7


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [pytest.param(*example, id=example[0]) for example in EXAMPLES],
)
def test_example_of_the_documentation(
    request_: str, status: str, message: str, app: TestApp
) -> None:
    with statements() as asked_of_the_database:
        response = app.get(encoded(request_), expect_errors=bool(status))
    assert asked_of_the_database == []
    assert response.status_int == int(status or 200)
    if status:
        assert response.json["message"] == message
        return
    assert response.headers["X-Search-Engine"] == "mirror"
    body = response.json
    if "_aggs" in request_:
        assert len(body["types"]["buckets"]) == 2
    else:
        assert body["data"], "an example should find something"


@pytest.mark.parametrize(
    ("query", "sql"),
    [
        ("_sort=-oscars", "ORDER BY oscars IS NULL, oscars DESC, type, pk"),
        ("_sort=name", "ORDER BY name IS NULL, name, type, pk"),
        ("_sort=-title,name", "ORDER BY title IS NULL, title DESC, name IS NULL, name, type, pk"),
    ],
)
def test_pages_far_into_25_thousand_objects(
    query: str, sql: str, app: TestApp, database: sqlite3.Connection
) -> None:
    expected = rows(database, sql)
    assert len(expected) > 25_000
    for start, limit in ((0, 20), (90, 20), (4_990, 500), (9_800, 200)):
        body = app.get(f"{EVERYTHING}?{query}&_start={start}&_limit={limit}").json
        assert body["total"] == len(expected)
        assert keys(body) == expected[start : start + limit]


def test_all_of_them_in_python(app: TestApp, database: sqlite3.Connection) -> None:
    """More than a search shows, in one order."""
    from nefertari.elasticsearch import ES

    results = ES("Film,Person").get_collection(_sort="name,-oscars")
    assert [(each._type, int(each._pk)) for each in results] == rows(
        database,
        "WHERE type IN ('Film', 'Person') "
        "ORDER BY name IS NULL, name, oscars IS NULL, oscars DESC, type, pk",
    )


def test_what_the_documented_sorts_and_counts_say(
    app: TestApp, database: sqlite3.Connection
) -> None:
    body = app.get("/films,people?_sort=-oscars&_limit=100").json
    assert keys(body) == rows(
        database,
        "WHERE type IN ('Film', 'Person') ORDER BY oscars IS NULL, oscars DESC, type, pk LIMIT 100",
    )
    assert app.get(f"{EVERYTHING}?_count").json == {"data": len(rows(database, ""))}
    types = app.get(
        "/films,people?_aggs.types.terms.field=_type&_aggs.types.aggs.wins.sum.field=oscars"
    ).json["types"]["buckets"]
    assert [(each["key"], each["doc_count"], each["wins"]["value"]) for each in types] == (
        database.execute(
            "SELECT type, count(*), ifnull(sum(oscars), 0) FROM objects "
            "WHERE type IN ('Film', 'Person') GROUP BY type ORDER BY 2 DESC"
        ).fetchall()
    )
