"""``_facets`` and ``_highlight`` of collections that have little in common: the database counts,
too, and what a model hides is as if it lacked it."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from webtest import TestApp

from tests.read.test_multi_collection import (
    ALL,
    USER,
    VISITOR,
    app,
    closed,
    database,
    encoded,
    folder,
)

pytestmark = pytest.mark.every_backend

__all__ = ["app", "closed", "database", "folder"]


def facet(app: TestApp, request: str, name: str, environ: Any = None) -> list[tuple[Any, int]]:
    response = app.get(encoded(request), extra_environ=environ)
    return [(each["value"], each["count"]) for each in response.json["facets"][name]]


def counted(database: sqlite3.Connection, column: str, condition: str) -> dict[Any, int]:
    """What the database counts."""
    condition = f"{condition} AND {column} IS NOT NULL"
    rows = database.execute(f"SELECT {column}, count(*) FROM objects WHERE {condition} GROUP BY 1")
    return dict(rows.fetchall())


@pytest.mark.parametrize(
    ("request_", "column", "condition"),
    [
        (f"/{ALL}?_facets=worth:100", "worth", "1"),
        (f"/{ALL}?_facets=style:100&worth=[2 TO *]", "style", "worth >= 2"),
        ("/paintings,vases?_facets=height:100", "height", "type != 'Painter'"),
        ("/paintings,vases?_facets=exhibited", "exhibited", "type != 'Painter'"),
        ("/painters,paintings?_facets=year:100", "year", "type != 'Vase'"),
        # that one model has
        (f"/{ALL}?_facets=insurer:100", "insurer", "type = 'Painting'"),
        (f"/{ALL}?_facets=_type", "type", "1"),
        # of nested documents
        (f"/{ALL}?_facets=painter.name:100", "by", "type = 'Painting'"),
        # its own filter is left out, that of the other field is not
        (f"/{ALL}?_facets=worth:100&worth=3&style=flat", "worth", "style = 'flat'"),
        (f"/{ALL}?_facets=style:100,worth:100&worth=3&style=flat", "style", "worth = 3"),
    ],
)
def test_counts_are_those_of_the_database(
    request_: str, column: str, condition: str, app: TestApp, database: sqlite3.Connection
) -> None:
    name = {"by": "painter.name", "type": "_type"}.get(column, column)
    expected = counted(database, column, condition)
    values = facet(app, f"{request_}&_limit=1", name)
    assert dict(values) == expected
    assert values == sorted(values, key=lambda pair: (-pair[1], pair[0]))


def test_the_most_frequent_of_all_collections_come_first(
    app: TestApp, database: sqlite3.Connection
) -> None:
    """Whatever is the most frequent one in each."""
    expected = sorted(counted(database, "worth", "1").items(), key=lambda pair: (-pair[1], pair[0]))
    for size in range(1, len(expected) + 1):
        assert facet(app, f"/{ALL}?_facets=worth:{size}&_limit=1", "worth") == expected[:size]


@pytest.mark.parametrize(
    "ranges", [["..0", "0..5", "5.."], ["5..", "..0", "0..5"], ["0..9", "2..4", "0..9"]]
)
def test_ranges_are_in_the_order_of_the_request(
    ranges: list[str], app: TestApp, database: sqlite3.Connection
) -> None:
    expected = []
    for each in ranges:
        low, high = each.split("..")
        condition = f"worth >= {low or -99} AND worth < {high or 99}"
        expected.append(sum(counted(database, "worth", condition).values()))
    values = facet(app, f"/{ALL}?_facets=worth:ranges({','.join(ranges)})&_limit=1", "worth")
    assert [count for _, count in values] == expected
    for text, count in values:
        assert app.get(encoded(f"/{ALL}?worth={text}&_count")).json == {"data": count}
        selected = app.get(
            encoded(f"/{ALL}?_facets=worth:ranges({','.join(ranges)})&worth={text}")
        ).json["facets"]["worth"]
        assert {each["value"] for each in selected if each["selected"]} == {text}


@pytest.mark.parametrize(
    ("value", "selected"),
    [
        ("3", {3}),
        ("3&worth=4", {3, 4}),
        ("3 OR 4", {3, 4}),
        ("(3 OR 4)", {3, 4}),
        ('"-1"', {-1}),
        ("\\-1", {-1}),
        ("[3 TO 4]", set()),
        ("NOT 3", set()),
        ("*", set()),
    ],
)
def test_values_that_are_filtered_by_are_selected(
    value: str, selected: set[int], app: TestApp
) -> None:
    response = app.get(encoded(f"/{ALL}?_facets=worth:100&worth={value}&_limit=1"))
    values = response.json["facets"]["worth"]
    assert {each["value"] for each in values if each["selected"]} == selected


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        ("year", "'year' has other types of values in other models"),
        ("notes", "the values of 'notes' can't be counted"),
        ("painter", "has no field 'painter' to count values of"),
        ("worht", "; did you mean 'worth'?"),
        ("heigth", "; did you mean 'height'?"),
        ("excavated:5", "holds dates, which are counted by year, month, day"),
        ("worth:2,worth:3", "'worth' is counted in two ways"),
        ("worth:9999,style", "more than 10000 values"),
    ],
)
def test_what_can_not_be_counted(request_: str, problem: str, app: TestApp) -> None:
    response = app.get(encoded(f"/{ALL}?_facets={request_}"), status=400)
    assert response.json["message"].startswith("Bad parameter '_facets': ")
    assert problem in response.json["message"]


def test_dates_are_limited_by_their_number(app: TestApp) -> None:
    search = app.app.registry.nefertari_search
    limit = search.settings.max_buckets
    object.__setattr__(search.settings, "max_buckets", 10)
    try:
        response = app.get(f"/{ALL}?_facets=excavated:month", status=400)
        assert "more than 10 values" in response.json["message"]
    finally:
        object.__setattr__(search.settings, "max_buckets", limit)
    assert len(facet(app, f"/{ALL}?_facets=excavated:month", "excavated")) == 12


# Highlights


@pytest.mark.parametrize("page", ["_limit=20", "_start=60&_limit=5", "_start=105&_limit=20"])
def test_highlights_of_every_page(page: str, app: TestApp) -> None:
    """Hits of later pages are fetched in two steps."""
    words = ("amphora", "krater", "saturn", "night")
    request = f"/{ALL}?q={' OR '.join(words)}&_search_fields=title,name&{page}"
    request += "&_sort=-_type,worth&_highlight=title,name"
    response = app.get(encoded(request)).json
    items = response["data"]
    assert items, response
    for item in items:
        text = item.get("title") or item.get("name")
        (field,) = item["_highlight"]
        assert item[field] == text
        (fragment,) = item["_highlight"][field]
        assert fragment == " ".join(
            f"<em>{word}</em>" if word in words else word.replace("'", "&#x27;")
            for word in text.split(" ")
        )


def test_an_unknown_field_of_all_has_no_highlights(app: TestApp) -> None:
    message = app.get(f"/{ALL}?q=night&_highlight=titel", status=400).json["message"]
    assert message.startswith("Bad parameter '_highlight': none of Painter, Painting, Vase has a")
    assert message.endswith("; did you mean 'title'?")


@pytest.mark.parametrize("name", ["worth", "excavated"])
def test_what_is_no_text_has_no_highlights(name: str, app: TestApp) -> None:
    for path in ("/vases", f"/{ALL}"):
        message = app.get(f"{path}?q=night&_highlight={name}", status=400).json["message"]
        assert message.startswith("Bad parameter '_highlight'") and "did you mean" not in message


def test_what_is_text_in_one_model_has_highlights_there(app: TestApp) -> None:
    items = app.get(f"/{ALL}?q=1415 OR night&_search_fields=year,name&_highlight=year").json["data"]
    years = {item["_type"]: item["_highlight"] for item in items if item["_highlight"]}
    assert years == {"Vase": {"year": ["<em>1415</em>"]}}


# What nobody may see. The other application comes last: its rules are nefertari's for both.


def test_a_model_that_hides_a_field_is_one_without_it(
    closed: TestApp, database: sqlite3.Connection
) -> None:
    in_vases = counted(database, "worth", "type = 'Vase'")
    in_painters = counted(database, "worth", "type = 'Painter'")
    both = {
        key: in_vases.get(key, 0) + in_painters.get(key, 0) for key in {*in_vases, *in_painters}
    }
    for path in ("/paintings,vases", "/vases,paintings", f"/{ALL}"):
        request = f"{path}?_facets=worth:100&_limit=1"
        assert dict(facet(closed, request, "worth", VISITOR)) == in_vases
        seen_by_users = both if "painters" in path else in_vases
        assert dict(facet(closed, request, "worth", USER)) == seen_by_users


@pytest.mark.parametrize("parameter", ["_facets", "_highlight"])
@pytest.mark.parametrize("hidden", ["insurer", "painter.worth"])
@pytest.mark.parametrize("path", ["/paintings", "/paintings,vases"])
def test_a_hidden_field_is_unknown(path: str, hidden: str, parameter: str, closed: TestApp) -> None:
    prefix = hidden.rpartition(".")[0]
    unknown = f"{prefix}.zzzz" if prefix else "zzzzzzz"
    caller = VISITOR if prefix else USER
    messages = [
        closed.get(f"{path}?q=night&{parameter}={name}", extra_environ=caller, status=400)
        .json["message"]
        .replace(name, "it")
        for name in (hidden, unknown)
    ]
    assert messages[0] == messages[1]


@pytest.mark.parametrize("path", ["/paintings", "/paintings,vases"])
def test_messages_name_no_hidden_field(path: str, closed: TestApp) -> None:
    for parameters in ("_facets=insurre", "q=insurre:x", "_sort=insurre", "_highlight=insurre"):
        message = closed.get(f"{path}?{parameters}", extra_environ=USER, status=400).json["message"]
        assert "did you mean" not in message
