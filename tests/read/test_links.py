"""Links of a table without a key, one of them twice: each is listed once, as nefertari does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import transaction
from sqlalchemy import Column, Integer, MetaData, Table
from webtest import TestApp
from zope.sqlalchemy import mark_changed

from nefertari_search_tween.indexing.verify.verify import Differences
from nefertari_search_tween.primary.sqla.dependencies.keys import DatabaseKeys
from tests.support.apps import forget_sessions, index_everything, observed, search_of
from tests.write.test_verify import source, verified, write

pytestmark = [pytest.mark.every_backend, pytest.mark.every_primary]

#: (thing, label, place) -> the labels of things by key, and by place
LINKED = [(1, 1, 9), (1, 1, 0), (1, 2, 5), (2, 2, 1), (2, 2, 1), (1, 1, 9)]
LABELS, ORDERED, THINGS = (
    {1: [1, 2], 2: [2], 3: []},
    {1: [1, 2], 2: [2], 3: []},
    {1: [1], 2: [1, 2]},
)


@pytest.fixture(scope="module")
def app(primary_url: str, backend_url: str, module_prefix: str) -> Iterator[TestApp]:
    from pyramid_sqlalchemy import Session

    app = observed(primary_url, backend_url, module_prefix)
    from tests.apps.observed.models import LINKS, Caption, Thing

    with transaction.manager:
        Session().add_all([Caption(id=number, name=f"label {number}") for number in (1, 2)])
        Session().add_all([Thing(id=number, name=f"thing {number}") for number in (1, 2, 3)])
    with transaction.manager:
        columns = ("thing_id", "label_id", "place")
        Session().execute(LINKS.insert(), [dict(zip(columns, each)) for each in LINKED])
        mark_changed(Session())
    index_everything(app)
    yield app
    forget_sessions()


def keys(value: Any) -> list[Any]:
    return [each["id"] if isinstance(each, dict) else each for each in value]


def lists(app: TestApp, path: str, name: str, engine: str) -> dict[int, list[int]]:
    response = app.get(path)
    assert response.headers["X-Search-Engine"] == engine
    return {each["id"]: keys(each[name]) for each in response.json["data"]}


@pytest.mark.parametrize(
    ("path", "name", "expected"),
    [
        ("/things?_sort=id", "labels", LABELS),
        ("/things?_sort=id", "ordered", ORDERED),
        ("/things?_sort=id&_fields=id,labels,ordered", "labels", LABELS),
        ("/labels?_sort=id", "things", THINGS),
    ],
)
def test_a_link_that_is_there_twice_is_listed_once(
    app: TestApp, path: str, name: str, expected: dict[int, list[int]]
) -> None:
    assert lists(app, path, name, "mirror") == expected
    assert lists(app, f"{path}&_search=false", name, "primary; reason=search-false") == expected


def test_removing_one_of_two_links_leaves_the_other(app: TestApp) -> None:
    from pyramid_sqlalchemy import Session

    from tests.apps.observed.models import LINKS

    with transaction.manager:
        Session().execute(LINKS.delete().where(LINKS.c.place == 9))
        mark_changed(Session())
    assert lists(app, "/things?_sort=id", "labels", "mirror") == LABELS
    mirror, primary = app.get("/things?_sort=id"), app.get("/things?_sort=id&_search=false")
    assert mirror.body == primary.body


def test_a_document_that_lists_it_twice_is_stale(app: TestApp) -> None:
    """``verify`` compares with what the primary's objects show."""
    search = search_of(app)
    assert verified(search, "Thing") == Differences(compared=3)
    document = source(search, "Thing", 2)
    assert document["labels"] == [2]
    write(search, "Thing", "2", {**document, "labels": [2, 2]})
    assert verified(search, "Thing") == Differences(compared=3, stale=[2])
    write(search, "Thing", "2", document)
    assert verified(search, "Thing") == Differences(compared=3)


# Tables without a key


def test_a_model_whose_key_is_none_in_the_database_is_read_there(
    app: TestApp, backend_url: str, module_prefix: str, caplog: Any
) -> None:
    """nefertari makes one object of rows with one key, and counts them all."""
    from pyramid_sqlalchemy import metadata

    primary_url = str(metadata.bind.url)
    with metadata.bind.begin() as connection:
        connection.execute("ALTER TABLE observed_labels RENAME TO keyed_labels")
        connection.execute("CREATE TABLE observed_labels AS SELECT * FROM keyed_labels")
        connection.execute("INSERT INTO observed_labels SELECT * FROM keyed_labels WHERE id = 2")
    metadata.bind.dispose()
    try:
        keyless = observed(primary_url, backend_url, f"{module_prefix}-keyless")
        assert "Caption.id (in the database it is no key)" in caplog.text
        response = keyless.get("/labels?_sort=id")
        assert response.headers["X-Search-Engine"] == "primary; reason=untracked"
        assert [each["id"] for each in response.json["data"]] == [1, 2]
        assert response.json["total"] == 3
    finally:
        forget_sessions()
        with metadata.bind.begin() as connection:
            connection.execute("DROP TABLE observed_labels")
            connection.execute("ALTER TABLE keyed_labels RENAME TO observed_labels")


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ("id INTEGER PRIMARY KEY", True),
        ("id INTEGER NOT NULL, PRIMARY KEY (id)", True),
        ("id VARCHAR(9) NOT NULL PRIMARY KEY", True),
        ("id INTEGER NOT NULL UNIQUE", True),
        ("id INTEGER NOT NULL", False),
        ("id INTEGER, other INTEGER, PRIMARY KEY (id, other)", False),
        ("id INTEGER NOT NULL, other INTEGER, UNIQUE (id, other)", False),
    ],
)
def test_keys_as_the_database_has_them(app: TestApp, definition: str, expected: bool) -> None:
    from pyramid_sqlalchemy import metadata

    engine = metadata.bind
    column = Column("id", Integer)
    Table("observed_keys", MetaData(engine), column)
    assert DatabaseKeys().has(column)
    engine.execute(f"CREATE TABLE observed_keys ({definition})")
    try:
        assert DatabaseKeys().has(column) is expected
    finally:
        engine.execute("DROP TABLE observed_keys")
