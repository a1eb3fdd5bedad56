"""``_after``: walks through all results while rows come and go."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
import transaction
from webtest import TestApp

from tests.read.test_search_reads import encoded
from tests.support.apps import Films, films, forget_sessions, index_everything, museum, zoo

pytestmark = pytest.mark.every_backend


@pytest.fixture(scope="module")
def film_app(loaded_films: Films) -> TestApp:
    return films(*loaded_films)


def pages(app: TestApp, request: str) -> Iterator[Any]:
    """The bodies of all pages, from that of *request* on."""
    url = encoded(request)
    while url:
        response = app.get(url)
        assert response.headers["X-Search-Engine"] == "mirror"
        yield response.json
        url = response.json.get("next", "")
        expected = f'<{url}>; rel="next"' if url else None
        assert response.headers.get("Link") == expected


def keys(body: Any) -> list[tuple[str, str]]:
    return [(item["_type"], item["_pk"]) for item in body["data"]]


@pytest.mark.parametrize(
    "request_",
    [
        "/films?_query=alien&_limit=5",
        "/films?_query=alien&_limit=5&_sort=-year,title",
        # Many have none of it.
        "/films?_search=true&title=god&_limit=4&_sort=box_office",
        "/films?_search=true&title=god&_limit=4&_sort=-box_office",
        "/films?_search=true&title=god&_limit=4&_sort=-rating,released",
        "/films?_search=true&title=god&_limit=4&_sort=director.name",
        "/films?q=kubrick&_limit=3&_sort=tomato_rating",
        "/films?_query=kubrik shinning&_limit=1",
        "/films?_query=zzzzqqq godfather part&_limit=2",
    ],
)
def test_the_pages_are_all_results_in_their_order(film_app: TestApp, request_: str):
    walked = list(pages(film_app, f"{request_}&_after=start"))
    every = [key for body in walked for key in keys(body)]
    sort = "" if "_sort" in request_ else "&_sort=id"
    limit = request_.partition("_limit=")[2].partition("&")[0]
    whole = film_app.get(encoded(request_.replace(f"_limit={limit}", "_limit=1000") + sort)).json
    assert every == keys(whole)
    assert [len(body["data"]) for body in walked[:-2]] == [int(limit)] * (len(walked) - 2)
    assert {body["total"] for body in walked} == {len(every)}


def test_all_films(film_app: TestApp):
    every = [
        item["id"]
        for body in pages(film_app, "/films?_search=true&_limit=3000&_fields=id&_after=")
        for item in body["data"]
    ]
    total = film_app.get("/films?_search=true&_count").json["data"]
    assert len(every) == len(set(every)) == total > 10_000


def token(body: Any) -> str:
    return str(body["next"].rpartition("_after=")[2].replace("%3D", "="))


def changed(cursor: str, change: Any) -> str:
    content = json.loads(base64.urlsafe_b64decode(cursor))
    change(content)
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        ("/films?_query=a&_after=start&_limit=1&_start=0", "_after says where the page begins"),
        ("/films?_query=a&_after=start&_limit=1&_page=0", "_after says where the page begins"),
        ("/films?_query=a&_after=start&_limit=1&_sort=_score", "needs an order that lasts"),
        ("/films?_query=a&_after=nope&_limit=1", "'nope' is no cursor"),
        ("/films?_query=a&_after=W10=&_limit=1", "'W10=' is no cursor"),
    ],
)
def test_bad_requests(film_app: TestApp, request_: str, problem: str):
    response = film_app.get(request_, expect_errors=True)
    assert response.status_int == 400
    assert problem in response.json["message"]


def test_a_cursor_that_was_changed_or_is_of_another_search(film_app: TestApp):
    cursor = token(film_app.get("/films?_query=alien&_limit=2&_after=start").json)

    def status(text: str, query: str = "_query=alien") -> int:
        path = f"/films?{query}&_limit=2&_after={text}"
        return int(film_app.get(path, expect_errors=True).status_int)

    assert status(cursor) == 200
    assert status(cursor, "_query=godfather") == 400
    assert status(cursor, "_query=alien&year=1979") == 400
    assert status(cursor[:-4]) == 400
    assert status(changed(cursor, lambda content: content.__setitem__(0, 2))) == 400
    assert status(changed(cursor, lambda content: content[2].append([1]))) == 400
    assert status(changed(cursor, lambda content: content[2][0].append(1))) == 400
    assert status(changed(cursor, lambda content: content[2].__setitem__(0, [{"a": 1}]))) == 400
    # A value of another type: servers reject it, the embedded backend has an order for it.
    assert status(changed(cursor, lambda content: content[2].__setitem__(0, ["x"]))) in (200, 400)
    assert status(changed(cursor, lambda content: content[3].__setitem__(1, True))) == 400
    assert status(changed(cursor, lambda content: content[3].__setitem__(0, -1))) == 400
    assert status(changed(cursor, lambda content: content[3].__setitem__(5, "other"))) == 400


def test_a_page_may_be_of_another_size(film_app: TestApp):
    first = film_app.get("/films?_query=alien&_limit=2&_after=start").json
    second = film_app.get(f"/films?_query=alien&_limit=100&_after={token(first)}").json
    assert len(first["data"]) + len(second["data"]) == first["total"]


# Other applications


def test_rows_come_and_go(tmp_path, backend_url: str, index_prefix: str):
    """Each row that is there throughout is on exactly one page."""
    app = zoo(f"sqlite:///{tmp_path}/a.sqlite", backend_url, index_prefix)
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field.models import Tag

    draw = random.Random(5)
    names = ["lion", "tiger", None, "bear"]
    with transaction.manager:
        Session.add_all(Tag(id=2 * n, name=draw.choice(names)) for n in range(1, 120))
    index_everything(app)
    stay = {str(2 * number) for number in range(1, 120) if number % 5}
    for sort in ("", "&_sort=name", "&_sort=-name"):
        walked: list[str] = []
        go = [2 * number for number in range(5, 120, 5)]
        for body in pages(app, f"/tags?_search=true&_limit=7&_after=start{sort}"):
            walked += [key for _, key in keys(body)]
            with transaction.manager:
                session = Session()
                for _ in range(3):
                    odd = 2 * draw.randrange(1, 120) + 1
                    if session.query(Tag).get(odd) is None:
                        session.add(Tag(id=odd, name=draw.choice(names)))
                if go:
                    tag = session.query(Tag).get(go.pop(draw.randrange(len(go))))
                    if tag is not None:
                        session.delete(tag)
            index_everything(app)
        assert len(walked) == len(set(walked))
        assert stay <= set(walked)
    forget_sessions()


def test_several_collections(tmp_path, backend_url: str, index_prefix: str):
    from tests.apps.multi_collection.objects import fill

    app = museum(f"sqlite:///{tmp_path}/museum.sqlite", backend_url, index_prefix)
    with transaction.manager:
        fill()
    index_everything(app)
    for sort in ("", "&_sort=-worth", "&_sort=worth,name"):
        request = f"/vases,painters?_search=true{sort}"
        every = [key for body in pages(app, f"{request}&_limit=7&_after=") for key in keys(body)]
        whole = keys(app.get(encoded(f"{request}&_limit=1000")).json)
        assert sorted(every) == sorted(whole)
        assert not sort or every == whole
    forget_sessions()
