"""Requests for several collections at once: what they find, in which order, and who may ask.

The database says what is right: each request of the table has its SQL beside it. Whatever hides
a field is tested by changing what is hidden: no answer may change with it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union
from urllib.parse import urlencode

import pytest
import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from webtest import TestApp

from nefertari_search_tween.backends.base import BulkAction
from nefertari_search_tween.exceptions import BadQuery
from nefertari_search_tween.mirror.mirror import write_alias
from nefertari_search_tween.mirror.serializer import Serializer
from nefertari_search_tween.search.multi.query import ModelScope
from nefertari_search_tween.search.privacy import Caller
from tests.servers.base import free_port
from tests.support.apps import forget_sessions, museum, search_of
from tests.support.tiers import examples
from tests.write.test_sync import statements

ALL = "paintings,painters,vases"
# One row for each object, with all columns that a request names; SQLite's order of a column of
# several types is numbers before texts.
OBJECTS = """
CREATE TEMP VIEW objects AS
SELECT 'Painter' AS type, id AS pk, name, NULL AS title, year, style, worth, NULL AS height,
       NULL AS exhibited, NULL AS excavated, NULL AS by, NULL AS code, NULL AS insurer
  FROM museum_painters
UNION ALL
SELECT 'Painting', p.id, NULL, title, p.year, p.style, p.worth, height, exhibited, NULL, a.name,
       NULL, insurer
  FROM museum_paintings p LEFT JOIN museum_painters a ON a.id = painter_id
UNION ALL
SELECT 'Vase', code, name, NULL, year, NULL, worth, height, exhibited, excavated, NULL, code, NULL
  FROM museum_vases
"""


class Read(NamedTuple):
    """
    :param sql: condition on the objects, and their order where that is the answer's, too.
    """

    shows: str
    request: str
    sql: str


TYPE_PK = ["type", "pk"]
READS = [
    Read("all objects of all collections", f"/{ALL}", "1 ORDER BY type, pk"),
    Read(
        "an exact value, in the models that have the field",
        f"/{ALL}?height=40",
        "height = 40",
    ),
    Read(
        "a field that one model has",
        f"/{ALL}?insurer=krater",
        "type = 'Painting' AND has(insurer, 'krater')",
    ),
    Read(
        "what a model lacks is not there: NOT finds it",
        f"/{ALL}?insurer=NOT krater",
        "NOT has(insurer, 'krater')",
    ),
    Read("a field that all have", f"/{ALL}?worth=[2 TO 5]", "worth BETWEEN 2 AND 5"),
    Read("values present", f"/{ALL}?height=*", "height IS NOT NULL"),
    Read("values absent, fields too", f"/{ALL}?height=NOT *", "height IS NULL"),
    Read("the same by name", f"/{ALL}?_missing_=height", "height IS NULL"),
    Read("values that are there", f"/{ALL}?q=_exists_:height", "height IS NOT NULL"),
    Read(
        "a word in one kind of field is a number in another",
        f"/{ALL}?year=1415",
        "year = 1415 OR year = '1415'",
    ),
    Read("a word that is no number elsewhere", f"/{ALL}?year=unknown", "year = 'unknown'"),
    Read("alternatives", f"/{ALL}?worth=1&worth=7", "worth IN (1, 7)"),
    Read("filters all hold", f"/{ALL}?worth=1&exhibited=true", "worth = 1 AND exhibited"),
    Read(
        "a filter on nested documents",
        f'/{ALL}?painter.name="night 10"',
        "type = 'Painting' AND has(by, 'night 10')",
    ),
    Read(
        "fields in q",
        f"/{ALL}?q=title:saturn OR name:krater",
        "has(title, 'saturn') OR has(name, 'krater')",
    ),
    Read(
        "fields of different models can't both hold",
        f"/{ALL}?q=title:saturn AND code:v02",
        "0",
    ),
    Read(
        "q in some fields",
        f"/{ALL}?q=amphora&_search_fields=name,title",
        "has(name, 'amphora') OR has(title, 'amphora')",
    ),
    Read(
        "q in a field that one model has",
        f"/{ALL}?q=amphora&_search_fields=title",
        "has(title, 'amphora')",
    ),
    Read(
        "q in every field, nested ones too",
        f"/{ALL}?q=amphora",
        "has(name, 'amphora') OR has(title, 'amphora') OR has(by, 'amphora')"
        " OR has(insurer, 'amphora')",
    ),
    Read(
        "a fraction where a float is",
        "/vases,painters?height=11.5",
        "type = 'Vase' AND height = 11.5",
    ),
    Read("two collections", "/vases,painters?worth=3", "type != 'Painting' AND worth = 3"),
    Read("one collection twice", "/vases,vases?worth=3", "type = 'Vase' AND worth = 3"),
    Read(
        "one without a mirror is left out",
        "/vases,tickets?worth=3",
        "type = 'Vase' AND worth = 3",
    ),
    Read(
        "the flag of searches",
        f"/{ALL}?_search=true&worth=3",
        "worth = 3",
    ),
    Read(
        "sorted by a number of two kinds",
        "/paintings,vases?_sort=height",
        "type != 'Painter' ORDER BY height IS NULL, height, type, pk",
    ),
    Read(
        "descending; what has no value comes last all the same",
        f"/{ALL}?_sort=-height",
        "1 ORDER BY height IS NULL, height DESC, type, pk",
    ),
    Read(
        "sorted by a text of two models",
        f"/{ALL}?_sort=name",
        "1 ORDER BY name IS NULL, name, type, pk",
    ),
    Read(
        "sorted by several keys",
        f"/{ALL}?_sort=-exhibited,worth,-height",
        "1 ORDER BY exhibited IS NULL, exhibited DESC, worth IS NULL, worth, height IS NULL, "
        "height DESC, type, pk",
    ),
    Read(
        "sorted by a field of nested documents",
        f"/{ALL}?_sort=-painter.name,worth",
        "1 ORDER BY by IS NULL, by DESC, worth IS NULL, worth, type, pk",
    ),
    Read(
        "sorted by a date that one model has",
        f"/{ALL}?_sort=excavated,-worth",
        "1 ORDER BY excavated IS NULL, excavated, worth IS NULL, worth DESC, type, pk",
    ),
    Read(
        "sorted by the models' names",
        f"/{ALL}?_sort=-_type,-worth",
        "1 ORDER BY type DESC, worth IS NULL, worth DESC, pk",
    ),
    Read(
        "sorted by a key that is of another name elsewhere",
        f"/{ALL}?_sort=-id",
        "1 ORDER BY type = 'Vase', pk * (type != 'Vase') DESC, type, pk",
    ),
    Read(
        "an application's own name for several",
        "/everything?worth=4",
        "type != 'Painting' AND worth = 4 ORDER BY name IS NULL, name, type, pk",
    ),
]

#: what nobody can make sense of: request, status, words of the message
REFUSED = [
    (f"/{ALL}?nope=1", 400, "Bad parameter 'nope': none of Painter, Painting, Vase has a field"),
    (f"/{ALL}?_missing_=nope", 400, "Bad parameter '_missing_': none of Painter, Painting, Vase"),
    (f"/{ALL}?q=_exists_:nope", 400, "Bad parameter 'q': none of Painter, Painting, Vase has a"),
    (f"/{ALL}?q=nope:1", 400, "Bad parameter 'q': none of Painter, Painting, Vase has a field"),
    (f"/{ALL}?q=title:x OR (year:1 AND nope:1)", 400, "has a field 'nope'"),
    (f"/{ALL}?q=x&_search_fields=name,nope", 400, "Bad parameter '_search_fields'"),
    (f"/{ALL}?_search_fields=nope", 400, "Bad parameter '_search_fields'"),
    (f"/{ALL}?_sort=name,nope", 400, "Bad parameter '_sort': none of"),
    (f"/{ALL}?_sort=notes", 400, "Bad parameter '_sort': none of"),
    (f"/{ALL}?_fields=nope", 400, "Bad parameter '_fields': none of"),
    (f"/{ALL}?_fields=-nope", 400, "Bad parameter '_fields': none of"),
    (f"/{ALL}?notes=1", 400, "Bad parameter 'notes'"),
    (f"/{ALL}?notes=NOT *", 400, "Bad parameter 'notes'"),
    (f"/{ALL}?_sort=year", 400, "'year' is a number in Painter and text in Vase"),
    ("/painters,paintings?year=abc", 400, "Bad parameter 'year': 'abc' is not a whole number"),
    ("/painters,vases?exhibited=perhaps", 400, "'perhaps' is neither true nor false"),
    ("/paintings,vases?height=10.5", 400, "'10.5' is not a whole number"),
    ("/paintings,vases?q=height:[1 TO 10.5]", 400, "'10.5' is not a whole number"),
    (f"/{ALL}?excavated=yesterday", 400, "'yesterday' is not a date"),
    (f"/{ALL}?q=a AND", 400, "Bad parameter 'q': Syntax error"),
    (f"/{ALL}?title=", 400, "Bad parameter 'title': it is empty"),
    (f"/{ALL}?_limit=-1", 400, "_limit"),
    (f"/{ALL}?_limit=x", 400, "_limit"),
    (f"/{ALL}?_limit=1&_limit=2", 400, "Bad parameter '_limit': given more than once"),
    (f"/{ALL}?_start=1&_page=1", 400, "_page"),
    (f"/{ALL}?_limit=10001", 400, "a search shows its first 10000 results only"),
    (f"/{ALL}?_start=9990&_limit=20", 400, "Bad parameter '_start'"),
    (f"/{ALL}?_search=false", 400, "only a search answers requests for several collections"),
    (f"/{ALL}?_search=perhaps", 400, "'perhaps' is neither true nor false"),
    ("/nope,nada", 404, "There is no collection 'nada'"),
    ("/vases,nope", 404, "There is no collection 'nope'"),
    ("/vases,", 404, "There is no collection ''"),
    ("/vases,,painters", 404, "There is no collection ''"),
    ("/vases,tables", 404, "There is no collection 'tables'"),
    ("/vases,works", 404, "There is no collection 'works'"),
    ("/vases,Vase", 404, "There is no collection 'Vase'"),
    ("/tickets,tickets", 404, "None of the collections can be searched"),
    ("/vases,painters/1", 404, ""),
    ("/painters/1/works,vases", 404, ""),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("several")


@pytest.fixture(scope="module")
def app(folder: Path, backend_url: str, module_prefix: str) -> Iterator[TestApp]:
    from tests.apps.multi_collection.objects import fill

    app = museum(f"sqlite:///{folder}/museum.sqlite", backend_url, module_prefix)
    with transaction.manager:
        fill()
    yield app
    forget_sessions()


@pytest.fixture(scope="module")
def database(app: TestApp, folder: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(folder / "museum.sqlite")
    connection.create_function("has", 2, _has)
    connection.execute(OBJECTS)
    yield connection
    connection.close()


def _has(text: Optional[str], phrase: str) -> bool:
    return text is not None and f" {phrase} ".lower() in f" {text} ".lower()


def encoded(request: str) -> str:
    path, _, query = request.partition("?")
    pairs = [pair.partition("=")[::2] for pair in query.split("&") if pair]
    return f"{path}?{urlencode(pairs)}" if pairs else path


def keys(body: dict[str, Any]) -> list[tuple[str, Union[int, str]]]:
    return [
        (each["_type"], each["_pk"] if each["_type"] == "Vase" else int(each["_pk"]))
        for each in body["data"]
    ]


def and_(request: str, more: str) -> str:
    return encoded(f"{request}{'&' if '?' in request else '?'}{more}")


def rows(database: sqlite3.Connection, sql: str) -> list[tuple[Any, ...]]:
    return database.execute(f"SELECT type, pk FROM objects WHERE {sql}").fetchall()


# What is found


@pytest.mark.parametrize("read", READS, ids=lambda read: read.shows)
def test_several_collections(read: Read, app: TestApp, database: sqlite3.Connection) -> None:
    expected = rows(database, read.sql)
    with statements() as asked_of_the_database:
        response = app.get(and_(read.request, "_limit=1000"))
    assert asked_of_the_database == []
    assert response.headers["X-Search-Engine"] == "mirror"
    objects = keys(response.json)
    assert len(set(objects)) == len(objects)
    if "ORDER BY" in read.sql:
        assert objects == expected
    else:
        assert sorted(objects, key=str) == sorted(expected, key=str)
    assert response.json["total"] == response.json["count"] == len(expected)
    assert app.get(and_(read.request, "_count=")).json == {"data": len(expected)}


def test_the_table_finds_something(database: sqlite3.Connection) -> None:
    counts = {read.shows: len(rows(database, read.sql)) for read in READS}
    assert [shows for shows, count in counts.items() if not count] == [
        "fields of different models can't both hold"
    ]
    multi_model = [
        read.shows for read in READS if len({row[0] for row in rows(database, read.sql)}) > 1
    ]
    assert len(multi_model) >= 20


@pytest.mark.parametrize(("request_", "status", "message"), REFUSED)
def test_what_can_not_be_answered(request_: str, status: int, message: str, app: TestApp) -> None:
    response = app.get(encoded(request_), status=status)
    assert message in response.json["message"]
    engine = response.headers.get("X-Search-Engine")
    if status == 400:
        # Some of it nefertari's own code refuses before anybody is asked.
        assert engine in ("none; reason=bad-request", "none; reason=not-searched")
    else:
        assert engine in (None, "none; reason=not-searched")


def test_ties_by_score_go_by_model_and_key(app: TestApp) -> None:
    """A score that all share: nothing but the model and the key is left to sort by."""
    body = app.get(f"/{ALL}?worth=3&_limit=1000").json
    assert {each["_score"] for each in body["data"]} == {1.0}
    assert keys(body) == sorted(keys(body), key=lambda key: (key[0], key[1]))


def test_the_best_come_first_whatever_they_are(app: TestApp) -> None:
    data = app.get(encoded(f"/{ALL}?q=krater saturn&_limit=1000")).json["data"]
    scores = [each["_score"] for each in data]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) > 10
    assert {each["_type"] for each in data[:40]} == {"Painter", "Painting", "Vase"}


def test_each_object_is_that_of_its_own_collection(app: TestApp) -> None:
    alone = {
        (each["_type"], each["_pk"]): each
        for collection in COLLECTIONS.values()
        for each in app.get(f"/{collection}?_limit=1000").json["data"]
    }
    together = app.get(f"/{ALL}?_limit=1000").json["data"]
    assert len(together) == len(alone) == 280
    for each in together:
        assert each == alone[each["_type"], each["_pk"]]
        assert each["_self"] == f"http://localhost/{COLLECTIONS[each['_type']]}/{each['_pk']}"
    for each in (together[0], together[100], together[-1]):
        item = app.get(each["_self"]).json
        assert item == {name: value for name, value in each.items() if name != "_score"}


def test_the_answer_is_a_collection(app: TestApp) -> None:
    body = app.get("/painters,vases").json
    assert set(body) == {"data", "total", "count", "start", "fields", "took"}
    assert (body["count"], body["total"], body["start"]) == (20, 130, 0)


def test_head_is_get_without_a_body(app: TestApp) -> None:
    response = app.head(encoded(f"/{ALL}?q=saturn"))
    assert response.headers["X-Search-Engine"] == "mirror"
    assert not response.body
    assert app.head(f"/{ALL}?nope=1", status=400).headers["X-Search-Engine"].startswith("none")


@pytest.mark.parametrize("method", ["post_json", "put_json", "patch_json", "delete"])
def test_there_is_nothing_to_write_to(method: str, app: TestApp) -> None:
    assert getattr(app, method)(f"/{ALL}", status=405)


# Fields


def test_fields_in(app: TestApp) -> None:
    data = app.get(f"/{ALL}?_fields=title,code&_limit=1000").json["data"]
    fields = {each["_type"]: set(each) - {"_self", "_score"} for each in data}
    assert fields == {
        "Painter": {"_type"},
        "Painting": {"_type", "title"},
        "Vase": {"_type", "code"},
    }


def test_fields_out(app: TestApp) -> None:
    data = app.get(f"/{ALL}?_fields=-title,-code,-_type&_limit=1000").json["data"]
    assert {each["_type"] for each in data} == {"Painter", "Painting", "Vase"}
    for each in data:
        assert "title" not in each
        assert "code" not in each
        assert "worth" in each


# Pages


@pytest.mark.parametrize(
    "query",
    [
        "",
        "q=amphora night",
        "_sort=-height",
        "_sort=worth",
        "_sort=exhibited,name",
        "worth=[0 TO 3]&_sort=-name",
        "_sort=painter.name",
    ],
)
@pytest.mark.parametrize("size", [1, 7, 50, 99])
def test_pages_are_the_whole_without_gap_or_repeat(query: str, size: int, app: TestApp) -> None:
    whole = app.get(encoded(f"/{ALL}?{query}&_limit=1000")).json
    expected = keys(whole)
    objects = []
    step = size if size > 1 else 23
    for start in range(0, len(expected) + step, step):
        page = app.get(encoded(f"/{ALL}?{query}&_limit={size}&_start={start}")).json
        assert page["total"] == whole["total"]
        assert page["start"] == start
        assert page["data"] == whole["data"][start : start + size]
        objects += keys(page)
    if size == step:
        assert objects == expected
        numbered = app.get(encoded(f"/{ALL}?{query}&_limit={size}&_page=1")).json
        assert numbered["data"] == whole["data"][size : 2 * size]


def test_an_empty_page_has_a_total(app: TestApp) -> None:
    for query in ("_limit=0", "_limit=0&_start=300", "_start=900"):
        body = app.get(f"/{ALL}?{query}").json
        assert (body["data"], body["total"]) == ([], 280)


# The same as the collections one by one

VALUES = st.sampled_from(
    [
        *("amphora", "krater saturn", '"night krater"', "sat*", "night~1", "10", "1820", "1415"),
        *("11", "[0 TO 5]", "[* TO 3}", ">=11", "*", "true", "dark OR flat", "dark -night"),
        *("[a TO s]", "1900-01", "v02", "abc", "10.5", "night^3 saturn", "(amphora AND 10)"),
    ]
)
NAMES = st.sampled_from(
    [
        *("name", "title", "year", "style", "worth", "height", "exhibited", "excavated", "code"),
        *("insurer", "painter.name", "painter", "paintings", "id", "nope", "notes", "_pk"),
    ]
)
COLLECTIONS = {"Painter": "painters", "Painting": "paintings", "Vase": "vases"}


@settings(
    max_examples=examples(120),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    filters=st.dictionaries(NAMES, VALUES, max_size=2),
    words=st.none() | VALUES,
    search_fields=st.none() | st.lists(NAMES, min_size=1, max_size=2, unique=True),
    models=st.sets(st.sampled_from(sorted(COLLECTIONS)), min_size=2),
)
def test_together_is_the_union_of_one_by_one(
    filters: dict[str, str],
    words: Optional[str],
    search_fields: Optional[list[str]],
    models: set[str],
    app: TestApp,
) -> None:
    """For words that a model can't be asked (an unknown field, no number), none of its objects.

    In ``_search_fields`` an unknown field is one of several that a word may be in.
    """
    params = [*filters.items(), ("_limit", "1000"), ("_search", "true")]
    if words is not None:
        params.append(("q", words))
    if search_fields and words is not None:
        params.append(("_search_fields", ",".join(search_fields)))
    path = ",".join(COLLECTIONS[model] for model in models)
    response = app.get(f"/{path}?{urlencode(params)}", expect_errors=True)
    if words is not None and any(
        not any(_searchable(model, name) for model in models) for name in search_fields or []
    ):
        assert response.status_int == 400
        return
    expected: set[Any] = set()
    answered = False
    for model in sorted(models):
        own = dict(params)
        if "_search_fields" in own:
            fields = [name for name in search_fields or [] if _searchable(model, name)]
            if not fields:
                continue
            own["_search_fields"] = ",".join(fields)
        alone = app.get(f"/{COLLECTIONS[model]}?{urlencode(own)}", expect_errors=True)
        if alone.status_int == 200:
            answered = True
            expected |= set(keys(alone.json))
        else:
            assert alone.status_int == 400
    if response.status_int == 400:
        # A fraction that is no whole number is refused where another model could compare it.
        assert not answered or "is not a whole number" in response.json["message"]
        return
    assert set(keys(response.json)) == expected


def _searchable(model: str, name: str) -> bool:
    from tests.apps.multi_collection import models

    scope = ModelScope(getattr(models, model).secondary, Caller(False, False))
    return scope.searchable(name) is not None


# What nobody may see


@pytest.fixture(scope="module")
def closed(folder: Path, app: TestApp, backend_url: str, module_prefix: str) -> Iterator[TestApp]:
    """The same museum, where it matters who asks."""
    closed = museum(f"sqlite:///{folder}/museum.sqlite", backend_url, module_prefix, auth="true")
    yield closed
    forget_sessions()


VISITOR: dict[str, str] = {}
USER = {"REMOTE_USER": "bob"}
ADMIN = {"REMOTE_USER": "admin"}
#: each names what is hidden, or reaches for it: worth, insurer, painter_id of paintings
PROBES = [
    *(f"worth={value}" for value in ("3", "-3", '"-3"', "*", "NOT *", "[0 TO 5]", ">2", "NOT 3")),
    *(
        f"insurer={value}"
        for value in ("krater", "*", "NOT *", "kra*", "k?ater", "krater~", "[a TO m]")
    ),
    *(f"painter_id={value}" for value in ("3", "*", "[0 TO 5]")),
    *(f"painter.worth={value}" for value in ("3", "*", "NOT *")),
    "painter.paintings=3",
    *(f"_sort={sort}" for sort in ("worth", "-worth", "worth,height", "-height,worth")),
    *("_sort=insurer", "_sort=painter_id", "_sort=painter.worth", "_sort=-painter.worth"),
    *("_exists_=worth", "_missing_=worth", "q=_missing_:insurer", "_exists_=painter.worth"),
    *("q=krater", "q=3", "q=worth:3", "q=insurer:krater", "q=worth:[0 TO 5]", "q=insurer:*"),
    *("q=NOT worth:3", "q=title:saturn AND worth:3", "q=title:saturn OR insurer:krater"),
    *("q=NOT (insurer:krater)", "q=-worth:3 amphora", "q=worth:3^9 OR title:night"),
    *("q=insurer:kra*", "q=painter.worth:3", "q=painter_id:3"),
    *("q=krater&_search_fields=insurer", "q=krater&_search_fields=insurer,title"),
    *("q=3&_search_fields=worth", "q=3&_search_fields=worth,height", "_search_fields=worth"),
    *("_fields=worth", "_fields=insurer", "_fields=-worth", "_fields=worth,title"),
    *("worth=3&_count=", "insurer=krater&_count=", "_sort=worth&_limit=7&_start=50"),
    *("insurer__in=krater", "insurer__bool=true", "_exact.worth=3", "_inexact=worth"),
]


def _index_anew(app: TestApp) -> None:
    """New indices: in old ones, scores count what was deleted and written anew."""
    search = search_of(app)
    for mirror in search.mirrors:
        for index in search.mirrors.indices_of(mirror):
            search.backend.delete_index(index)
        search.mirrors.create(mirror, search.mirrors.next_name(mirror), live=True)
        mirror.invalidate()
        search.outbox.enqueue_model(mirror.name)
    search.indexer.index_pending()


def _answers(app: TestApp, who: dict[str, str]) -> dict[str, str]:
    """Everything that the probes tell, besides how long they took."""
    answers = {}
    for path in ("/paintings,vases", "/painters,paintings"):
        for probe in PROBES:
            request = encoded(f"{path}?{probe}")
            if "_limit" not in probe:
                request += "&_limit=90"
            response = app.get(request, extra_environ=who, expect_errors=True)
            body = response.json
            for name in ("took", "timestamp", "request_url"):
                body.pop(name, None)
            answers[f"{path}?{probe}"] = f"{response.status} {json.dumps(body)}"
    return answers


@pytest.mark.slow
@pytest.mark.parametrize("who", [VISITOR, USER], ids=["visitor", "user"])
def test_nothing_tells_what_is_hidden(who: dict[str, str], closed: TestApp) -> None:
    """What is hidden is changed, all of it: no answer changes."""
    from pyramid_sqlalchemy import Session

    from tests.apps.multi_collection.models import Painter, Painting

    _index_anew(closed)
    before = _answers(closed, who)
    admins = _answers(closed, ADMIN)
    with transaction.manager:
        for painting in Session.query(Painting):
            painting.worth = None if painting.worth is None else -painting.worth * 7 + 3
            painting.insurer = f"krater {painting.insurer}" if painting.id % 3 else None
        if who is VISITOR:
            # Of painters, a user may see it.
            for painter in Session.query(Painter):
                painter.worth = (painter.id * 5) % 11
    _index_anew(closed)
    after = _answers(closed, who)
    assert [request for request in before if after[request] != before[request]] == []
    changed = _answers(closed, ADMIN)
    assert len([request for request in admins if admins[request] != changed[request]]) > 100


def test_a_field_sorts_those_where_it_may_be_seen(closed: TestApp, app: TestApp) -> None:
    """Vases by their worth; paintings, where it is hidden, as if they had none."""
    body = closed.get("/paintings,vases?_sort=-worth&_limit=1000", extra_environ=USER).json
    worths = [each.get("worth") for each in body["data"]]
    values = [worth for worth in worths if worth is not None]
    assert len(values) > 50
    assert worths[: len(values)] == sorted(values, reverse=True)
    rest = keys(body)[len(values) :]
    assert rest == sorted(rest)
    assert {model for model, _ in rest} == {"Painting", "Vase"}


def test_what_each_may_see_is_shown(closed: TestApp) -> None:
    fields = {}
    for name, who in (("visitor", VISITOR), ("user", USER), ("admin", ADMIN)):
        data = closed.get("/paintings,painters", {"_limit": "1000"}, extra_environ=who)
        data = data.json["data"]
        fields[name] = {each["_type"]: set(each) for each in data}
        nested = [each["painter"] for each in data if each.get("painter")]
        fields[name]["nested"] = set(nested[0]) if nested else set()
    always = {"_type", "_pk", "_self"}
    assert fields["visitor"]["Painter"] == {"id", "name", "year", "style"} | always
    assert fields["user"]["Painter"] == {"id", "name", "year", "style", "worth"} | always
    painting = {"id", "title", "year", "style", "height", "painter", "exhibited"}
    assert fields["visitor"]["Painting"] == fields["user"]["Painting"] == painting | always
    assert {"worth", "insurer", "painter_id"} < fields["admin"]["Painting"]
    assert "worth" not in fields["visitor"]["nested"]
    assert "worth" in fields["user"]["nested"]


def test_visitors_see_at_most_so_many(closed: TestApp) -> None:
    visitor = closed.get("/paintings,vases?_limit=1000").json
    assert (visitor["count"], visitor["total"]) == (100, 100)
    assert closed.get("/paintings,vases?_count=").json == {"data": 100}
    user = closed.get("/paintings,vases?_limit=1000", extra_environ=USER).json
    assert (user["count"], user["total"]) == (240, 240)


# Who may ask


@pytest.mark.parametrize("path", ["/guards,vases", "/vases,guards", "/vases,guards,tickets"])
@pytest.mark.parametrize("query", ["", "?_count=", "?q=guard&_limit=0", "?nope=1"])
def test_all_collections_must_be_open_to_the_caller(
    path: str, query: str, app: TestApp, closed: TestApp
) -> None:
    """Also where authentication is off for all but one collection."""
    denied = closed.get(path + query, status=403)
    assert denied.headers["X-Search-Engine"] == "none; reason=not-searched"
    assert "data" not in denied.json
    assert closed.head(path + query, status=403)
    assert "data" not in app.get(path + query, status=403).json
    if not query:
        for each, who in ((closed, USER), (closed, ADMIN), (app, USER)):
            data = each.get(f"{path}?_limit=1000", extra_environ=who).json["data"]
            assert {one["_type"] for one in data} == {"Guard", "Vase"}


def test_a_collection_alone_is_denied_in_the_same_way(closed: TestApp) -> None:
    assert closed.get("/guards", status=403)
    assert closed.get("/vases,nope,guards", status=404)


def test_an_id_with_a_comma_is_an_id(app: TestApp) -> None:
    from pyramid_sqlalchemy import Session

    from tests.apps.multi_collection.models import Vase

    with transaction.manager:
        Session.add(Vase(code="a,b", name="comma"))
    assert app.get("/vases/a,b").json["name"] == "comma"
    data = app.get('/vases,painters?code="a,b"').json["data"]
    assert [each["_self"] for each in data] == ["http://localhost/vases/a,b"]
    with transaction.manager:
        Session.query(Vase).filter_by(code="a,b").one().delete()


# Now, and not at all


def test_own_writes_are_found_whatever_was_written(app: TestApp) -> None:
    for number in range(5):
        app.post_json("/vases", {"code": f"new {number}", "name": "just now"})
        app.post_json("/painters", {"name": f"just now {number}"})
        body = app.get('/vases,painters?name="just now"').json
        assert body["total"] == 2 * (number + 1)
    from pyramid_sqlalchemy import Session

    from tests.apps.multi_collection.models import Painter, Vase

    with transaction.manager:
        for model in (Vase, Painter):
            for each in Session.query(model).filter(model.name.like("just now%")):
                each.delete()
    assert app.get('/vases,painters?name="just now"&_count=').json == {"data": 0}


def test_what_the_backend_refused_is_left_out(app: TestApp) -> None:
    search = search_of(app)
    mirror = search.mirrors.get("Vase")
    (index,) = search.mirrors.indices_of(mirror)
    before = app.get(f"/{ALL}?_count=").json
    stub = BulkAction(write_alias(index), "stub", 1, Serializer.stub("stub", "too odd"))
    assert [outcome.error for outcome in mirror.backend.bulk([stub], 10)] == [None]
    mirror.backend.refresh(mirror.alias)
    try:
        assert app.get(f"/{ALL}?_count=").json == before
        assert "stub" not in [key for _, key in keys(app.get(f"/{ALL}?_limit=1000").json)]
    finally:
        deletion = BulkAction(write_alias(index), "stub", 2, None)
        assert [outcome.error for outcome in mirror.backend.bulk([deletion], 10)] == [None]


def test_one_index_that_is_not_built_is_503(app: TestApp) -> None:
    search = search_of(app)
    mirror = search.mirrors.get("Guard")
    (index,) = search.mirrors.indices_of(mirror)
    search.backend.delete_index(index)
    try:
        # The first finds the index gone, the second looks for it and finds none.
        for _ in range(2):
            response = app.get("/vases,guards", extra_environ=USER, status=503)
            assert response.headers["X-Search-Engine"] == "none; reason=no-index"
            assert response.headers["Retry-After"] == "5"
        assert app.get("/vases,painters", extra_environ=USER).json["total"] == 130
    finally:
        search.mirrors.create(mirror, index, live=True)
        mirror.invalidate()


def test_a_server_that_is_down_is_503(folder: Path, app: TestApp) -> None:
    down = museum(f"sqlite:///{folder}/museum.sqlite", f"http://127.0.0.1:{free_port()}", "nobody")
    try:
        response = down.get(f"/{ALL}?q=saturn", status=503)
        assert response.headers["X-Search-Engine"] == "none; reason=unavailable"
        assert response.headers["Retry-After"] == "5"
        assert down.get("/vases,nope", status=404)
    finally:
        # The application that is made last has the models.
        search_of(app).install()
        forget_sessions()


# In Python


def test_several_models_in_python(app: TestApp, database: sqlite3.Connection) -> None:
    from nefertari.elasticsearch import ES

    search_of(app).install()
    search = ES("Painting, Vase")
    objects = search.get_collection(_sort="-height")
    expected = rows(
        database,
        "type != 'Painter' ORDER BY height IS NULL, height DESC, type, pk",
    )
    assert [(each._type, str(each._pk)) for each in objects] == [
        (model, str(pk)) for model, pk in expected
    ]
    assert objects._nefertari_meta["total"] == 240
    assert [each.height for each in search.get_collection(_sort="-height", _limit=2, _start=3)] == [
        each.height for each in objects[3:5]
    ]
    assert search.get_collection(_count=True, worth=3) == len(
        rows(database, "type != 'Painter' AND worth = 3")
    )
    assert search.do_count({"worth": 3}) == search.get_collection(_count=True, worth=3)
    assert len(search.get_collection(worth=[3, 4])) == len(
        rows(database, "type != 'Painter' AND worth IN (3, 4)")
    )
    assert {each._type for each in search.get_collection(height=None)} == {"Painting", "Vase"}
    assert search.get_collection(code="nobody") == []
    assert search.get_collection(_start=238, _sort="-height")[-1]._pk == str(expected[-1][1])


def test_what_several_models_in_python_refuse(app: TestApp) -> None:
    from nefertari.elasticsearch import ES
    from nefertari.json_httpexceptions import JHTTPNotFound

    search_of(app).install()
    with pytest.raises(JHTTPNotFound):
        ES("Painting,Nobody").get_collection()
    with pytest.raises(JHTTPNotFound):
        ES("Painting,Ticket").get_collection()
    with pytest.raises(JHTTPNotFound):
        ES("Painting,Vase").get_collection(code="nobody", _raise_on_empty=True)
    with pytest.raises(BadQuery):
        ES("Painting,Vase").get_collection(nope=1)


# Aggregations


def aggregated(app: TestApp, path: str, query: str, **environ: str) -> Any:
    response = app.get(encoded(f"{path}?{query}"), extra_environ={**USER, **environ})
    assert response.headers["X-Search-Engine"] == "mirror"
    return response.json


def counted(database: sqlite3.Connection, sql: str) -> dict[Any, int]:
    return dict(database.execute(sql).fetchall())


def buckets(result: Any) -> dict[Any, int]:
    return {bucket["key"]: bucket["doc_count"] for bucket in result["buckets"]}


def test_buckets_over_several_collections(app: TestApp, database: sqlite3.Connection) -> None:
    results = aggregated(
        app,
        f"/{ALL}",
        "_aggs.types.terms.field=_type&_aggs.styles.terms.field=style&_aggs.worths.terms.field=worth"
        "&_aggs.worths.terms.size=100&_aggs.names.terms.field=name&_aggs.names.terms.size=300",
    )
    assert buckets(results["types"]) == counted(
        database, "SELECT type, count(*) FROM objects GROUP BY 1"
    )
    for name, column in (("styles", "style"), ("worths", "worth"), ("names", "name")):
        assert buckets(results[name]) == counted(
            database,
            f"SELECT {column}, count(*) FROM objects WHERE {column} IS NOT NULL GROUP BY 1",
        )


def test_numbers_of_two_kinds_are_one(app: TestApp, database: sqlite3.Connection) -> None:
    results = aggregated(
        app,
        "/paintings,vases",
        "height=[-5 TO 100]&_aggs.h.stats.field=height&_aggs.each.terms.field=height"
        "&_aggs.step.histogram.field=height&_aggs.step.histogram.interval=10",
    )
    condition = "height BETWEEN -5 AND 100"
    count, low, high, mean = database.execute(
        f"SELECT count(*), min(height), max(height), avg(height) FROM objects WHERE {condition}"
    ).fetchone()
    assert (results["h"]["count"], results["h"]["min"], results["h"]["max"]) == (count, low, high)
    assert results["h"]["avg"] == pytest.approx(mean)
    assert buckets(results["each"]) == counted(
        database, f"SELECT height, count(*) FROM objects WHERE {condition} GROUP BY 1"
    )
    steps = {key: count for key, count in buckets(results["step"]).items() if count}
    assert steps == counted(
        database,
        "SELECT 10 * (CAST((height + 10) / 10 AS INTEGER) - 1), count(*) FROM objects "
        f"WHERE {condition} GROUP BY 1",
    )


def test_filters_and_words_choose_what_is_aggregated(
    app: TestApp, database: sqlite3.Connection
) -> None:
    for query, condition in (
        ("worth=[2 TO 5]", "worth BETWEEN 2 AND 5"),
        ("q=title:saturn OR name:krater", "has(title, 'saturn') OR has(name, 'krater')"),
        ("painter.name=night", "has(by, 'night')"),
        ("insurer=NOT krater", "NOT has(insurer, 'krater')"),
        ("year=1415", "year = 1415 OR year = '1415'"),
    ):
        results = aggregated(app, f"/{ALL}", f"{query}&_aggs.types.terms.field=_type")
        assert buckets(results["types"]) == counted(
            database, f"SELECT type, count(*) FROM objects WHERE {condition} GROUP BY 1"
        )


def test_inside_a_bucket_those_count_that_have_the_field(
    app: TestApp, database: sqlite3.Connection
) -> None:
    """The buckets count all the same; their order may go by what is inside."""
    results = aggregated(
        app,
        f"/{ALL}",
        "_aggs.types.terms.field=_type&_aggs.types.terms.order.tall=desc"
        "&_aggs.types.aggs.tall.max.field=height&_aggs.types.aggs.none.missing.field=height"
        "&_aggs.none.missing.field=height",
    )
    rows_ = database.execute(
        "SELECT type, count(*), max(height), sum(height IS NULL) FROM objects GROUP BY type "
        "ORDER BY max(height) DESC"
    ).fetchall()
    none = {"Painter": 0}
    assert [
        (each["key"], each["doc_count"], each["tall"]["value"], each["none"]["doc_count"])
        for each in results["types"]["buckets"]
    ] == [(key, count, tall, none.get(key, gaps)) for key, count, tall, gaps in rows_]
    assert results["none"]["doc_count"] == sum(row[3] for row in rows_ if row[0] != "Painter")


def test_nested_documents_of_some(app: TestApp, database: sqlite3.Connection) -> None:
    results = aggregated(
        app,
        f"/{ALL}",
        "_aggs.by.terms.field=painter.name&_aggs.by.terms.size=100"
        "&_aggs.by.aggs.worth.sum.field=painter.worth",
    )
    assert buckets(results["by"]) == counted(
        database, "SELECT by, count(*) FROM objects WHERE by IS NOT NULL GROUP BY 1"
    )


def test_the_best_of_each_are_shown_as_their_own_rules_say(
    closed: TestApp, database: sqlite3.Connection
) -> None:
    query = (
        "_aggs.types.terms.field=_type&_aggs.types.aggs.best.top_hits.size=2"
        "&_aggs.types.aggs.best.top_hits.sort=-height"
    )
    for who in (USER, ADMIN):
        results = aggregated(closed, "/paintings,vases", query, **who)
        hits_by_model = {
            bucket["key"]: bucket["best"]["hits"]["hits"] for bucket in results["types"]["buckets"]
        }
        for model, hits in hits_by_model.items():
            assert [hit["_type"] for hit in hits] == [model, model]
            heights = [hit["_source"]["height"] for hit in hits]
            (most,) = database.execute(
                "SELECT max(height) FROM objects WHERE type = ?", (model,)
            ).fetchone()
            assert heights[0] == most
        painting, vase = (
            hits_by_model["Painting"][0]["_source"],
            hits_by_model["Vase"][0]["_source"],
        )
        assert ("insurer" in painting) == (who is ADMIN)
        assert ("worth" in painting) == (who is ADMIN)
        assert "worth" in vase


AGGREGATION_PROBES = [
    "_aggs.a.terms.field=worth",
    "_aggs.a.avg.field=worth",
    "_aggs.a.missing.field=worth",
    "_aggs.a.terms.field=worth&_aggs.a.terms.missing=77",
    "_aggs.a.value_count.field=worth",
    "_aggs.a.cardinality.field=insurer",
    "_aggs.a.terms.field=insurer",
    "_aggs.a.terms.field=_type&_aggs.a.aggs.b.max.field=worth",
    "_aggs.a.terms.field=_type&_aggs.a.terms.order.b=asc&_aggs.a.aggs.b.max.field=worth",
    "_aggs.a.filter.term.worth=3",
    "_aggs.a.filter.exists.field=worth",
    "_aggs.a.filter.query_string.query=worth:3",
    "_aggs.a.filter.query_string.query=krater",
    "_aggs.a.filters.filters.x.range.worth.gte=3",
    "_aggs.a.significant_terms.field=worth",
    "_type=Vase&name=krater&_aggs.a.significant_terms.field=worth"
    "&_aggs.a.significant_terms.min_doc_count=1&_aggs.a.significant_terms.size=50",
    "_aggs.a.significant_terms.field=title&_aggs.a.significant_terms.min_doc_count=1",
    "_aggs.a.top_hits.sort=-worth",
    "_aggs.a.top_hits.size=3",
    "_aggs.a.percentiles.field=worth",
    "_aggs.a.histogram.field=worth&_aggs.a.histogram.interval=2",
    "_aggs.a.terms.field=painter_id",
    "_aggs.a.sum.field=painter.worth",
    "_aggs.a.composite.sources.0.x.terms.field=worth",
    "q=krater&_aggs.a.terms.field=_type",
    "worth=3&_aggs.a.terms.field=_type",
]


@pytest.mark.slow
@pytest.mark.parametrize("who", [VISITOR, USER], ids=["visitor", "user"])
def test_aggregations_tell_nothing_of_what_is_hidden(who: dict[str, str], closed: TestApp) -> None:
    from pyramid_sqlalchemy import Session

    from tests.apps.multi_collection.models import Painting

    def answers(who: dict[str, str]) -> dict[str, str]:
        return {
            probe: closed.get(
                encoded(f"/paintings,vases?{probe}"), extra_environ=who, expect_errors=True
            ).text.split('"timestamp"')[0]
            for probe in AGGREGATION_PROBES
        }

    _index_anew(closed)
    before, admins = answers(who), answers(ADMIN)
    with transaction.manager:
        for painting in Session.query(Painting):
            painting.worth = None if painting.worth == 3 else (painting.worth or 0) + painting.id
            painting.insurer = f"{painting.insurer} krater {painting.id}"
    _index_anew(closed)
    after, changed = answers(who), answers(ADMIN)
    assert [probe for probe in before if before[probe] != after[probe]] == []
    assert len([probe for probe in admins if admins[probe] != changed[probe]]) >= 8


@pytest.mark.parametrize("collections", ["paintings", "paintings,vases"])
def test_what_is_forbidden_is_answered_by_nobody(collections: str, closed: TestApp) -> None:
    response = closed.get(f"/{collections}?_aggs.a.sum.field=nope", extra_environ=USER, status=403)
    assert response.headers["X-Search-Engine"] == "none; reason=forbidden"


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("_aggs.a.terms.field=nope", 400, "there is no field 'nope'"),
        ("_aggs.a.terms.field=year", 400, "'year' is a number in Painter and text in Vase"),
        ("_aggs.a.terms.field=notes", 400, "the values of 'notes' can't be aggregated"),
        ("_aggs.a.avg.field=name", 400, "_aggs.a.avg.field"),
        ("_aggs.a.nope.field=name", 400, "there is no aggregation of type 'nope'"),
        ("_search=false&_aggs.a.terms.field=name", 400, "only a search answers"),
        ("nope=1&_aggs.a.terms.field=name", 400, "has a field 'nope'"),
    ],
)
def test_aggregations_that_can_not_be_answered(
    query: str, status: int, message: str, app: TestApp
) -> None:
    response = app.get(encoded(f"/{ALL}?{query}"), status=status)
    assert message in response.json["message"]
    assert response.headers["X-Search-Engine"] == "none; reason=bad-request"


def test_aggregations_of_several_models_in_python(
    app: TestApp, database: sqlite3.Connection
) -> None:
    from nefertari.elasticsearch import ES

    search_of(app).install()
    results = ES("Painting,Vase").aggregate(
        _aggregations_params={"worth": {"sum": {"field": "worth"}}}, exhibited=True
    )
    (expected,) = database.execute("SELECT sum(worth) FROM objects WHERE exhibited").fetchone()
    assert results["worth"]["value"] == expected
    with pytest.raises(BadQuery):
        ES("Painting,Vase").aggregate(shown=True)
