"""Whatever a caller sends, the answer is a 4xx that says what is wrong; the next one is served.

Search reads are refused by this package, which names the parameter. Transparent reads that the
primary refuses get the primary's own error.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_from_bytes

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from webtest import TestApp

from tests.read.test_search_reads import encoded
from tests.servers import Pserve
from tests.support.apps import INI, Films, film_options, films, zoo
from tests.support.tiers import examples

ERROR = {"status_code", "explanation", "message", "title", "timestamp"}
# Nobody waits longer for a refusal, however busy the machine is.
SECONDS = 5
MEGABYTE = 1024 * 1024
# What would tell a caller about the inside of the server.
LEAKS = ("Traceback", 'File "', "elasticsearch", "search_phase", "root_cause", "object has no attr")


@pytest.fixture(scope="module")
def film_app(loaded_films: Films) -> TestApp:
    return films(*loaded_films)


@pytest.fixture
def app(film_app: TestApp) -> Iterator[TestApp]:
    """The example application, which must still answer when the test is over."""
    yield film_app
    response = film_app.get("/films?q=title:vertigo&_count")
    assert response.json == {"data": 1}
    assert film_app.get("/films?title=Vertigo&_count").json == {"data": 1}


def ask(app: TestApp, request: str, method: str = "GET") -> Any:
    """The response to *request* (encoded), whatever it is."""
    started = time.monotonic()
    response = app.request(request, method=method, expect_errors=True)
    assert time.monotonic() - started < SECONDS
    return response


def error_of(response: Any, status: int = 400) -> dict[str, Any]:
    """The error body of *response*, in nefertari's shape."""
    assert response.status_int == status, response.text[:500]
    assert response.content_type == "application/json"
    body = response.json
    assert set(body) >= ERROR, body
    assert body["status_code"] == status
    assert not [word for word in LEAKS if word in response.text], body
    return body


def refused(app: TestApp, request: str, parameter: str) -> None:
    """A 400 of this package that names *parameter*, for GET and HEAD."""
    response = ask(app, request)
    assert f"'{parameter}'" in error_of(response)["message"]
    assert response.headers["X-Search-Engine"] == "none; reason=bad-request"
    head = ask(app, request, "HEAD")
    assert (head.status_int, head.body) == (400, b"")
    assert head.headers["X-Search-Engine"] == "none; reason=bad-request"


# Search reads: (what is wrong, request as a user would write it, parameter that is named)

UNKNOWN = [
    ("a filter", "/films?_search=true&nope=1", "nope"),
    ("a filter beside q", "/films?q=x&nope=1", "nope"),
    ("a field of a nested document", "/films?q=x&director.nope=1", "director.nope"),
    (
        "a field deeper than documents nest",
        "/films?q=x&director.films.title=x",
        "director.films.title",
    ),
    ("a filter with a modifier", "/films?q=x&title__in=a", "title__in"),
    ("a sort", "/films?q=x&_sort=nope", "_sort"),
    ("one of several sorts", "/films?q=x&_sort=title,-nope", "_sort"),
    ("a nested sort", "/films?q=x&_sort=director.nope", "_sort"),
    ("a sort by whole documents", "/films?q=x&_sort=director", "_sort"),
    ("a sort without a name", "/films?q=x&_sort=-", "_sort"),
    ("_fields", "/films?q=x&_fields=nope", "_fields"),
    ("_fields, left out", "/films?q=x&_fields=-nope", "_fields"),
    ("_search_fields", "/films?q=x&_search_fields=nope", "_search_fields"),
    ("_search_fields without q", "/films?_search_fields=nope", "_search_fields"),
    ("_search_fields, nested", "/films?q=x&_search_fields=title,director.nope", "_search_fields"),
    ("_facets", "/films?_facets=nope", "_facets"),
    ("_facets, nested", "/films?_facets=year,director.nope", "_facets"),
    ("_facets of whole documents", "/films?_facets=director", "_facets"),
    ("_highlight", "/films?q=x&_highlight=nope", "_highlight"),
    ("_highlight of a number", "/films?q=x&_highlight=year", "_highlight"),
    ("_facets, twice", "/films?_facets=year&_facets=title", "_facets"),
    ("_highlight, twice", "/films?q=x&_highlight=title&_highlight=cast", "_highlight"),
    ("in q", "/films?q=nope:x", "q"),
    ("in q, nested", "/films?q=director.nope:x", "q"),
    ("in a value", "/films?_search=true&title=nope:x", "title"),
    ("in a value with a colon", "/films?_search=true&title=Star Wars: A New Hope", "title"),
    ("in a narrowed collection", "/people/7437/films?_search=true&nope=1", "nope"),
    ("in the search view", "/search?nope=1", "nope"),
    ("in _exists_", "/films?_exists_=nope", "_exists_"),
    ("in _missing_", "/films?_missing_=director.nope", "_missing_"),
    ("in _missing_ in q", "/films?q=_missing_:nope AND title:x", "q"),
    ("in _exists_ in the search view", "/search?_exists_=nope", "_exists_"),
    ("internal: composed forms", "/films?_exists_=_composed.title", "_exists_"),
    ("internal: subfields", "/films?q=x&title.keyword=x", "title.keyword"),
    ("internal: exact forms", "/films?q=x&_exact.updated=1", "_exact.updated"),
    ("internal: in q", "/films?q=_inexact:x", "q"),
    ("internal: a sort", "/films?q=x&_sort=_exact.updated", "_sort"),
]

FLAG = [
    ("empty", "/films?_search=", "_search"),
    ("without a value", "/films?_search", "_search"),
    ("a number", "/films?_search=1", "_search"),
    ("another word", "/films?_search=maybe", "_search"),
    ("twice, different", "/films?_search=true&_search=false", "_search"),
    ("twice, the same", "/films?_search=true&_search=true", "_search"),
    ("in the search view", "/search?_search=maybe", "_search"),
]

SYNTAX = [
    ("empty q", "/films?q=", "q"),
    ("blank q", "/films?q=   ", "q"),
    ("empty value", "/films?_search=true&title=", "title"),
    ("empty group", "/films?_search=true&title=()", "title"),
    ("open parenthesis", "/films?_search=true&title=(alien", "title"),
    ("closing parenthesis", "/films?_search=true&title=alien)", "title"),
    ("open quote", '/films?_search=true&title="alien', "title"),
    ("no name in _exists_", "/films?_exists_=", "_exists_"),
    ("a phrase in _missing_", '/films?_missing_="title"', "_missing_"),
    ("a range in _exists_", "/films?_exists_=[a TO b]", "_exists_"),
    ("everything in _exists_", "/films?_exists_=*", "_exists_"),
    ("a pattern in _missing_ in q", "/films?q=_missing_:ti*", "q"),
    ("names without an operator's end", "/films?_missing_=title AND", "_missing_"),
    ("AND alone", "/films?_search=true&title=AND", "title"),
    ("OR first", "/films?_search=true&title=OR alien", "title"),
    ("AND last", "/films?_search=true&title=alien AND", "title"),
    ("AND OR", "/films?_search=true&title=alien AND OR predator", "title"),
    ("NOT alone", "/films?_search=true&title=NOT", "title"),
    ("plus alone", "/films?_search=true&title=+", "title"),
    ("minus alone", "/films?_search=true&title=-", "title"),
    ("open range", "/films?_search=true&year=[1990 TO", "year"),
    ("range with one end", "/films?_search=true&year=[1990]", "year"),
    ("range without TO", "/films?_search=true&year=[1990 1995]", "year"),
    ("range with a small to", "/films?_search=true&year=[1990 to 1995]", "year"),
    ("greater than nothing", "/films?_search=true&year=>", "year"),
    ("field without a value", "/films?q=title:", "q"),
    ("value without a field", "/films?q=:alien", "q"),
    ("tilde alone", "/films?_search=true&title=~", "title"),
    ("boost alone", "/films?_search=true&title=^2", "title"),
    ("backslash last", "/films?_search=true&title=alien\\", "title"),
    ("slash alone", "/films?_search=true&title=/", "title"),
    ("the second of two values", "/films?_search=true&title=alien&title=alien AND", "title"),
    ("in a nested field", "/films?_search=true&director.name=(", "director.name"),
    ("in the search view", "/search?title=(", "title"),
    ("in a narrowed collection", "/people/7437/films?_search=true&title=(", "title"),
    ("a fuzzy number with two points", "/films?_search=true&title=alien~1.2.3", "title"),
    ("three edits", "/films?_search=true&title=alien~3", "title"),
    ("a huge number of edits", f"/films?_search=true&title=alien~{'9' * 5000}", "title"),
    ("a boost with two points", "/films?_search=true&title=alien^1.2.3", "title"),
    ("a huge boost", f"/films?_search=true&title=alien^{'9' * 400}", "title"),
    ("a boost without a number", "/films?_search=true&title=alien^", "title"),
    ("a negative boost", "/films?_search=true&title=alien^-1", "title"),
    ("no boost", "/films?_search=true&title=alien^0", "title"),
    ("a distance that is no whole number", '/films?_search=true&title="a b"~1.5', "title"),
    ("a huge distance", f'/films?_search=true&title="a b"~{"9" * 20}', "title"),
    ("a distance beyond all", f'/films?_search=true&title="a b"~{"9" * 5000}', "title"),
]

OFF = [
    ("leading star", "/films?_search=true&title=*father", "title"),
    ("leading question mark", "/films?_search=true&title=?odfather", "title"),
    ("leading star in q", "/films?q=*father", "q"),
    ("leading star for a field in q", "/films?q=director.name:*brick", "q"),
    ("regular expression", "/films?_search=true&title=/god.*/", "title"),
    ("regular expression in q", "/films?q=/god.*/", "q"),
    ("aggregation beside the database", "/films?_aggs.x.terms.field=year&_search=false", "_search"),
    ("aggregation of nothing", "/films?_aggs=x", "_aggs"),
    ("aggregation without a type", "/films?_aggregations.x=1", "_aggregations.x"),
    ("aggregation of nothing known", "/films?_aggs.x.terms.field=z", "_aggs.x.terms.field"),
    ("aggregation by a script", "/search?_aggs.x.terms.script=1", "_aggs.x.terms.script"),
    ("aggregation of dots", "/films?_aggs....=x", "_aggs...."),
]

NUMBERS = [
    ("_start, a word", "/films?q=x&_start=abc", "_start"),
    ("_start, negative", "/films?q=x&_start=-1", "_start"),
    ("_start, a fraction", "/films?q=x&_start=1.5", "_start"),
    ("_start, huge", "/films?q=x&_start=99999999999999999999", "_start"),
    ("_page, a word", "/films?q=x&_page=abc", "_page"),
    ("_page, negative", "/films?q=x&_page=-1", "_page"),
    ("_page, huge", "/films?q=x&_page=9223372036854775807", "_page"),
    ("_page with _start", "/films?q=x&_page=1&_start=1", "_page"),
    ("_limit, negative", "/films?q=x&_limit=-1", "_limit"),
    ("_limit, huge", "/films?q=x&_limit=99999999999999999999", "_limit"),
    ("_limit, one too many", "/films?q=x&_limit=10001", "_limit"),
    ("_limit twice", "/films?q=x&_limit=1&_limit=2", "_limit"),
    ("_start twice", "/films?q=x&_start=1&_start=2", "_start"),
    (
        "_search_fields twice",
        "/films?q=x&_search_fields=title&_search_fields=cast",
        "_search_fields",
    ),
]

TYPES = [
    ("a word for a whole number", "/films?_search=true&year=abc", "year"),
    ("a fraction for a whole number", "/films?_search=true&year=1990.5", "year"),
    ("a number too large", f"/films?_search=true&year={'9' * 30}", "year"),
    ("a number far too large", f"/films?_search=true&year={'9' * 5000}", "year"),
    ("words as ends of a number", "/films?_search=true&year=[a TO b]", "year"),
    ("a pattern for a number", "/films?_search=true&year=199?", "year"),
    ("a fuzzy number", "/films?_search=true&year=1990~", "year"),
    ("a word for a number in q", "/films?q=year:abc", "q"),
    ("a word for a float", "/films?_search=true&runtime=abc", "runtime"),
    ("not a number", "/films?_search=true&runtime=nan", "runtime"),
    ("infinity", "/films?_search=true&runtime=[1 TO inf]", "runtime"),
    ("a float too large", "/films?_search=true&runtime=1e400", "runtime"),
    ("a word for a decimal", "/films?_search=true&tomato_rating=good", "tomato_rating"),
    ("a word for a date", "/films?_search=true&released=soon", "released"),
    ("a month that is none", "/films?_search=true&released=1972-13", "released"),
    ("a day that is none", "/films?_search=true&released=1972-02-30", "released"),
    ("an hour that is none", "/films?_search=true&released=1972-03-15T25:00:00", "released"),
    ("the year zero", "/films?_search=true&released=0000", "released"),
    ("a unit of time that is none", "/films?_search=true&released=[now-1x TO now]", "released"),
    ("date arithmetic that breaks off", "/films?_search=true&released=now-", "released"),
    ("rounding to two days", "/films?_search=true&released=now/2d", "released"),
    ("date arithmetic on no date", "/films?_search=true&released=1972-13||/M", "released"),
    ("a moment beyond all", "/films?_search=true&released=>now+2147483647y", "released"),
    ("more years than there are", f"/films?_search=true&released=now-{'9' * 5000}y", "released"),
    ("a zone that is none", "/films?_search=true&released=1972-03-15T02:00+25:00", "released"),
    ("a zone of a day", "/films?_search=true&released=1972-03-15+02", "released"),
    ("date arithmetic for a number", "/films?_search=true&year=now-1y", "year"),
    ("a pattern for a date", "/films?_search=true&released=1972-*", "released"),
    ("a word for a key", "/films?_search=true&director=kubrick", "director"),
    ("a word for one of several keys", "/films?_search=true&genres=Drama", "genres"),
    ("a word for a nested key", "/films?_search=true&director.id=kubrick", "director.id"),
]

PYTHON_ONLY = [
    (name, f"{path}{name}={value}", name)
    for path in ("/films?q=x&", "/films?_search=true&", "/search?")
    for name, value in (
        ("body", '{"query":{"match_all":{}}}'),
        ("_raise_on_empty", "true"),
        ("_query_secondary", "true"),
        ("_query_secondary", "false"),
        ("query_set", "x"),
        ("_item_request", "true"),
        ("_explain", "true"),
        ("_strict", "false"),
    )
]

MANY = [
    ("words", "/films?_search=true&title=" + "a " * 300, "title"),
    ("words in q", "/films?q=" + "a " * 300, "q"),
    ("ranges", "/films?_search=true&year=" + "[1 TO 2] " * 300, "year"),
    ("values", "/films?_search=true&" + "&".join(["title=a"] * 300), "title"),
    ("fuzzy words", "/films?q=" + " ".join(f"abcd{n}~" for n in range(256)), "q"),
    ("patterns", "/films?q=" + " ".join(f"abcd{n}*" for n in range(256)), "q"),
    ("words of one phrase", f'/films?_search=true&title="{"a " * 1000}"', "title"),
    ("words without an end", "/films?_search=true&title=" + "a " * 12_000, "title"),
    ("letters", f"/films?_search=true&title={'a' * 60_000}", "title"),
    ("letters, fuzzily", f"/films?_search=true&title={'a' * 8000}~2", "title"),
    ("letters of a pattern", f"/films?_search=true&title={'a' * 300}*", "title"),
    ("stars", "/films?_search=true&title=a" + "*b" * 100, "title"),
    ("stars without an end", "/films?_search=true&title=" + "a*" * 12_000, "title"),
    ("question marks", "/films?_search=true&title=a" + "?" * 8000, "title"),
    ("parentheses", f"/films?_search=true&title={'(' * 4000}a{')' * 4000}", "title"),
    ("parentheses without an end", "/films?_search=true&title=" + "(" * 20_000, "title"),
    ("minus signs", f"/films?_search=true&title={'-' * 60_000}a", "title"),
    ("plus signs", f"/films?_search=true&title={'+' * 8000}a", "title"),
    ("NOTs", f"/films?_search=true&title={'NOT ' * 1000}a", "title"),
    ("names of fields", f"/films?q={'title:' * 1000}a", "q"),
    ("quotes", f"/films?_search=true&title={chr(34) * 20_000}", "title"),
    ("slashes", f"/films?_search=true&title={'/' * 20_000}", "title"),
    ("backslashes", f"/films?_search=true&title={chr(92) * 8001}", "title"),
    ("levels", "/films?_search=true&title=" + "(a AND (b OR " * 50 + "c" + "))" * 50, "title"),
    ("boosts", f"/films?_search=true&title=a{'^2' * 4000}", "title"),
    ("parameters", "/films?_search=true&" + "&".join(f"p{n}=1" for n in range(6000)), "p0"),
    ("searched fields", "/films?q=a&_search_fields=" + "title,nope" * 5000, "_search_fields"),
]

BYTES = [
    ("null byte in a value", "/films?title=a%00b", "title"),
    ("null byte in a searched value", "/films?_search=true&title=a%00b", "title"),
    ("null byte in q", "/films?q=%00", "q"),
    ("null byte in a name", "/films?ti%00tle=x", "ti\\\\0tle"),
    ("null byte in the flag", "/films?_search=tru%00e", "_search"),
    ("not UTF-8", "/films?title=%ff", "query string"),
    ("not UTF-8, searched", "/films?_search=true&title=%ff", "query string"),
    ("not UTF-8 in q", "/films?q=%c3%28", "query string"),
    ("not UTF-8 in a name", "/films?%ff=x", "query string"),
    ("half a surrogate pair", "/films?q=%ed%a0%80", "query string"),
    ("one byte too many", "/films?q=x&title=" + "a" * 65_536, "query string"),
    ("a megabyte", "/films?q=" + "a" * MEGABYTE, "query string"),
    ("a megabyte, transparent", "/films?title=" + "a" * MEGABYTE, "query string"),
    ("a megabyte of parameters", "/films?" + "a=b&" * (MEGABYTE // 4), "query string"),
]

GROUPS = {
    "unknown": UNKNOWN,
    "flag": FLAG,
    "syntax": SYNTAX,
    "off": OFF,
    "numbers": NUMBERS,
    "types": TYPES,
    "too many": MANY,
}


def cases(group: str, reads: list[tuple[str, str, str]]) -> list[Any]:
    return [pytest.param(read, name, id=f"{group}: {shows}") for shows, read, name in reads]


@pytest.mark.parametrize(
    ("read", "parameter"),
    [case for group, reads in GROUPS.items() for case in cases(group, reads)],
)
def test_a_search_read_is_refused(read: str, parameter: str, app: TestApp):
    refused(app, encoded(read), parameter)


@pytest.mark.parametrize(("read", "parameter"), cases("bytes", BYTES))
def test_bytes_that_are_no_text_or_too_many(read: str, parameter: str, app: TestApp):
    refused(app, read, parameter.replace("\\\\", "\\"))


@pytest.mark.parametrize(
    ("read", "parameter"),
    [pytest.param(read, name, id=read[:60]) for _shows, read, name in PYTHON_ONLY],
)
def test_what_only_python_may_ask_is_an_unknown_field(read: str, parameter: str, app: TestApp):
    refused(app, encoded(read), parameter)


@pytest.mark.parametrize(
    "read", ["/films?q=x&_limit=abc", "/films?q=x&_limit=", "/search?_limit=x"]
)
def test_a_limit_that_is_no_number(read: str, app: TestApp):
    """nefertari's own view code answers before any search."""
    assert "_limit" in error_of(ask(app, read))["message"]
    assert ask(app, read, "HEAD").status_int == 400


@pytest.mark.parametrize("position", [0, 5, 11])
def test_a_syntax_error_says_where(position: int, app: TestApp):
    text = "alien alien alien"[:position] + ")" + "alien alien alien"[position:]
    message = error_of(ask(app, encoded(f"/films?_search=true&title={text}")))["message"]
    assert f"position {position}" in message
    assert text in message


def test_a_message_quotes_little_of_a_long_value(app: TestApp):
    for read in (
        "/films?_search=true&year=" + "9" * 8000,
        "/films?_search=true&" + "p" * 8000 + "=1",
        "/films?q=" + "p" * 8000 + ":x",
        "/films?q=x&_sort=" + "p" * 8000,
        "/films?q=x&_fields=" + "p" * 8000,
        "/films?q=x&_search_fields=" + "p" * 8000,
        "/films?_search=" + "p" * 8000,
        "/films?q=x&_start=" + "p" * 8000,
    ):
        assert len(error_of(ask(app, read))["message"]) < 300


# Accepted, though it looks odd

ODD = [
    ("reversed range", "/films?_search=true&year=[2000 TO 1990]&_count", 0),
    ("reversed dates", "/films?_search=true&released=[2000 TO 1990]&_count", 0),
    (
        "the smallest and largest numbers",
        f"/films?_search=true&year=[-{2**63 - 1} TO {2**63 - 1}]&_count",
        17_472,
    ),
    ("all dates", "/films?_search=true&released=[0001 TO 9999]&_count", 17_472),
    ("a phrase of nothing", '/films?_search=true&title=""&_count', 0),
    ("an emoji", "/films?q=😀&_count", 0),
    ("no results at all", "/films?q=zzzzzzzzzz&_count", 0),
    ("a limit of none", "/films?q=title:vertigo&_limit=0&_count", 1),
    ("a refresh", "/films?q=title:vertigo&_refresh_index=true&_count", 1),
    ("ten thousand stars are one", f"/films?_search=true&title=vertig{'*' * 250}&_count", 1),
]


@pytest.mark.parametrize(
    ("read", "count"),
    [pytest.param(read, count, id=shows) for shows, read, count in ODD],
)
def test_odd_but_fine(read: str, count: int, app: TestApp):
    response = app.get(encoded(read))
    assert response.json == {"data": count}
    assert response.headers["X-Search-Engine"] == "mirror"


def test_empty_parameters_are_none(app: TestApp):
    assert app.get("/films?&&q=title:vertigo&&_count").json == {"data": 1}


def test_a_view_filter_can_not_be_overridden(app: TestApp):
    for read in ("director_id=1", "director_id=abc", "director_id=1&director_id=2"):
        body = app.get(f"/people/7437/films?_search=true&_limit=100&{read}").json
        assert {film["director"]["name"] for film in body["data"]} == {"Woody Allen"}


def test_an_item_has_no_search(app: TestApp):
    """Only collections are routed: an item read looks at no search parameter."""
    for query in ("_search=maybe", "q=(", "title=%00"):
        response = app.get(f"/films/47703?{query}")
        assert response.json["title"] == "The Godfather"
        assert "X-Search-Engine" not in response.headers


def test_a_parent_that_is_not_there(app: TestApp):
    for person in ("99999999", "abc"):
        for flag in ("true", "false"):
            response = ask(app, f"/people/{person}/films?_search={flag}")
            assert "not found" in error_of(response, 404)["message"]


# Transparent reads: the primary's own answer, to the letter

TRANSPARENT = [
    "/films?nope=1",
    "/films?director.nope=1",
    "/films?director.name=x",
    "/films?title.keyword=x",
    "/films?_exact.updated=1",
    "/films?_type=Film",
    "/films?title__in=a",
    "/films?_sort=nope",
    "/films?_sort=title,-nope",
    "/films?_fields=nope",
    "/films?_fields=title,-nope",
    "/films?_limit=abc",
    "/films?_limit=",
    "/films?_limit=-1",
    "/films?_limit=1&_limit=2",
    "/films?_limit=99999999999999999999",
    "/films?_start=-1",
    "/films?_start=abc",
    "/films?_start=99999999999999999999",
    "/films?_page=-1",
    "/films?_page=9223372036854775807",
    "/films?_page=1&_start=1",
    "/films?released=1972-03-15",
    "/films?updated=soon",
    "/films?rating=ABC",
    "/films?year=1990&year=1991",
    "/films?imdb_id=" + "x" * 100,
    "/films?query_set=x",
    "/films?_query_secondary=true",
    "/films?_query_secondary=false",
    "/films?body={}",
    "/people?name=x&nope=1",
    "/people/7437/films?nope=1",
]


@pytest.mark.parametrize("read", TRANSPARENT, ids=[read[:50] for read in TRANSPARENT])
def test_a_transparent_read_gets_the_primarys_error(read: str, app: TestApp):
    response, primary = ask(app, encoded(read)), ask(app, encoded(read + "&_search=false"))
    body, expected = response.json, primary.json
    assert response.status_int == primary.status_int
    assert 400 <= response.status_int < 500, read
    assert set(body) >= ERROR
    for name in ("message", "explanation", "title", "status_code"):
        assert body[name] == expected[name]
    assert response.headers["X-Search-Engine"].startswith("primary; reason=")
    head = ask(app, encoded(read), "HEAD")
    assert (head.status_int, head.body) == (response.status_int, b"")


@pytest.mark.parametrize(
    "read",
    [
        "/films?year=abc",
        "/films?metacritic=99999999",
        "/films?_raise_on_empty=true",
        "/films?title=zzzzzzzzzz&_raise_on_empty=true",
        "/films?_item_request=true",
        "/films?_strict=false",
        "/films?_start=9223372036854775807",
        "/films?title=" + "a" * 60_000,
        "/films?title=*",
        "/films?title=(",
        "/films?",
        "/films?title=",
    ],
    ids=lambda read: read[:40],
)
def test_a_transparent_read_is_the_primarys_answer(read: str, app: TestApp):
    response, primary = ask(app, read), ask(app, read + "&_search=false")
    assert response.status_int == primary.status_int < 500
    body, expected = response.json, primary.json
    for volatile in ("timestamp", "request_url", "took"):
        body.pop(volatile, None), expected.pop(volatile, None)
    assert body == expected


# Over HTTP, with the server that users run


@pytest.fixture(scope="module")
def pserve(loaded_films: Films) -> Iterator[Pserve]:
    server = Pserve(INI, variables=film_options(*loaded_films))
    with server:
        yield server


def raw(server: Pserve, target: bytes, method: bytes = b"GET") -> tuple[int, bytes, bytes]:
    """Send a request line as it is; status, header and body of the answer."""
    head = b"%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % (method, target)
    answer = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        try:
            connection.sendall(head)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server refused before it had read everything; its answer is there
        try:
            while chunk := connection.recv(65_536):
                answer += chunk
        except ConnectionResetError:
            pass
    header, _, body = answer.partition(b"\r\n\r\n")
    return int(header.split()[1]), header, body


def still_answers(server: Pserve) -> None:
    status, _, body = raw(server, b"/films?q=title:vertigo&_count")
    assert (status, json.loads(body)) == (200, {"data": 1})
    assert server.running
    assert "Traceback" not in server.log


@pytest.mark.parametrize("prefix", [b"/films?q=", b"/films?title=", b"/films?_search=true&title="])
def test_the_server_refuses_a_megabyte_itself(prefix: bytes, pserve: Pserve):
    """waitress takes 256 KB of request header (max_request_header_size), and no more."""
    status, header, body = raw(pserve, prefix + b"a" * MEGABYTE)
    assert status == 431
    assert b"text/plain" in header
    assert b"exceeds max_header" in body
    still_answers(pserve)


def test_below_that_it_is_our_limit(pserve: Pserve):
    status, _, body = raw(pserve, b"/films?q=" + b"a" * 200_000)
    assert status == 400
    assert "query string" in json.loads(body)["message"]
    still_answers(pserve)


@pytest.mark.parametrize(
    ("target", "parameter"),
    [
        (b"/films?title=%ff", "query string"),
        (b"/films?q=%ff", "query string"),
        (b"/films?q=%00", "q"),
        (b"/films?q=(", "q"),
        (b"/films?_search=maybe", "_search"),
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_bytes_over_http(target: bytes, parameter: str, method: bytes, pserve: Pserve):
    status, header, body = raw(pserve, target, method)
    assert status == 400
    assert b"X-Search-Engine: none; reason=bad-request" in header
    if method == b"HEAD":
        assert body == b""
    else:
        error = json.loads(body)
        assert set(error) >= ERROR
        assert f"'{parameter}'" in error["message"]
    still_answers(pserve)


@pytest.mark.parametrize(
    "target",
    [b"/films?q=\xff", b"/films?\xff\xfe=x", "/films?_search=true&title=Amélie".encode()],
    ids=["in a value", "in a name", "UTF-8"],
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_waitress_refuses_bytes_that_are_not_encoded(target: bytes, method: bytes, pserve: Pserve):
    """No browser sends them; waitress answers before the application sees them."""
    status, header, _ = raw(pserve, target, method)
    assert status == 400
    assert b"text/plain" in header
    assert b"X-Search-Engine" not in header
    still_answers(pserve)


def test_a_null_byte_in_the_request_line(pserve: Pserve):
    """A bare null byte passes waitress, and is refused as an encoded one is."""
    status, _, body = raw(pserve, b"/films?q=\x00")
    assert status == 400
    assert "null byte" in json.loads(body)["message"]
    still_answers(pserve)


def test_a_broken_request_line(pserve: Pserve):
    """waitress answers for the application: a space ends the address."""
    status, header, _ = raw(pserve, b"/films?q=a b c")
    assert status == 400
    assert b"X-Search-Engine" not in header
    still_answers(pserve)


# Anything at all

FIELDS = [
    "title", "year", "rating", "runtime", "released", "metacritic", "tomato_rating", "box_office",
    "updated", "director", "director.name", "director.films", "genres", "genres.name",
    "countries", "director_id", "_pk", "_type",
]  # fmt: skip
RESERVED = [
    "q", "_query", "_facets", "_highlight", "_search", "_search_fields", "_sort", "_fields",
    "_limit", "_start", "_page",
    "_count", "_refresh_index", "_aggs.a.terms.field", "_query_secondary", "_raise_on_empty",
    "_explain", "query_set", "body",
]  # fmt: skip
SOUP = [
    "alien", "the", "1990", "1972-03-15", "-5", "1.5", "true", "*", "?", "a*", "al?en", "~", "~1",
    "^2", "^", '"', '"a b"', "(", ")", "[", "]", "{", "}", " TO ", " AND ", " OR ", " NOT ", "&&",
    "||", "!", "+", "-", ":", "title:", "year:", "director.name:", "genres.name:", "/", "\\", ">",
    ">=", "<", "<=", " ", "é", "½", "–", "&", "=", "%", ",", "\t", "\n", "\u2028", "\ufeff", "'",
]  # fmt: skip

soup = st.lists(st.sampled_from(SOUP), min_size=1, max_size=12).map("".join)
values = st.one_of(st.text(max_size=60), soup)
numbers = st.one_of(st.integers().map(str), values)
flags = st.sampled_from(["_search=true", "_search=false", ""])

anything_goes = settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def answered(app: TestApp, path: str, *parameters: str) -> None:
    """*path* is answered by 200, or by a 4xx in nefertari's shape."""
    request = path + "?" + "&".join(each for each in parameters if each)
    response = ask(app, request)
    if response.status_int != 200:
        assert 400 <= response.status_int < 500, (request, response.text[:500])
        assert set(response.json) >= ERROR, request
        assert response.json["status_code"] == response.status_int
        assert "Traceback" not in response.text


def parameter(name: str, value: str) -> str:
    return f"{quote(name, safe='')}={quote(value, safe='')}"


@anything_goes
@given(q=values)
@example(q="title:" * 3)
@example(q='"a b"~')
@example(q="year:[-5 TO -1]")
@example(q="alien^-1")
@example(q=">>1")
def test_any_text_as_q(q: str, app: TestApp):
    answered(app, "/films", parameter("q", q))


@anything_goes
@given(name=st.sampled_from(FIELDS), value=values, flag=flags)
def test_any_text_for_any_field(name: str, value: str, flag: str, app: TestApp):
    answered(app, "/films", parameter(name, value), flag)


@anything_goes
@given(
    names=st.lists(
        st.tuples(st.sampled_from(RESERVED + FIELDS), st.one_of(numbers, st.just("title"))),
        max_size=5,
    ),
    path=st.sampled_from(["/films", "/search", "/people/7437/films", "/people", "/genres"]),
)
def test_any_mixture_of_parameters(names: list[tuple[str, str]], path: str, app: TestApp):
    answered(app, path, *(parameter(name, value) for name, value in names))


@anything_goes
@given(
    facets=st.lists(
        st.tuples(
            st.sampled_from([*FIELDS, "nope", ""]),
            st.sampled_from(["", ":3", ":year", ":month", ":ranges(", ":ranges(..1,1..)", "::"]),
            st.one_of(st.just(""), soup),
        ).map("".join),
        min_size=1,
        max_size=4,
    ),
    name=st.sampled_from(FIELDS),
    value=values,
)
@example(facets=["year:ranges(" + ",".join(["1..2"] * 999) + ")"], name="year", value="1")
@example(facets=["released:day"], name="title", value='"')
@example(facets=["box_office:ranges(..1e400)"], name="title", value="x")
def test_any_facets(facets: list[str], name: str, value: str, app: TestApp):
    text = ",".join(facets)
    answered(app, "/films", parameter("_facets", text), parameter(name, value), "_limit=1")
    answered(app, "/search", parameter("_facets", text), parameter("_highlight", text), "q=alien")


@anything_goes
@given(name=st.text(max_size=30), value=st.text(max_size=30), flag=flags)
def test_any_name_of_a_parameter(name: str, value: str, flag: str, app: TestApp):
    answered(app, "/films", parameter(name, value), flag)


@anything_goes
@given(query=st.binary(max_size=60), flag=flags)
def test_any_bytes(query: bytes, flag: str, app: TestApp):
    answered(app, "/films", quote_from_bytes(query, safe="=&;+"), flag)


# Every kind of field: the zoo has one of each. Last in this file, because one process runs one
# application at a time.

BAD_VALUES = [
    ("count", "abc"), ("count", "1.5"), ("count", "true"), ("count", "9" * 20),
    ("count", "[1 TO b]"), ("count", "1*"),
    ("big", "abc"), ("big", str(2**64)),
    ("small", "abc"), ("small", "~"),
    ("ratio", "abc"), ("ratio", "nan"), ("ratio", "inf"), ("ratio", "1,5"),
    ("price", "abc"), ("price", "1.2.3"), ("price", "[a TO b]"),
    ("flag", "maybe"), ("flag", "2"), ("flag", "[true TO false]"), ("flag", "t*"),
    ("day", "abc"), ("day", "2014-13-01"), ("day", "2014-02-30"), ("day", "[a TO *]"),
    ("moment", "abc"), ("moment", "2014-06-30T25:00:00"), ("moment", "2014-06-30T12:60:00"),
    ("clock", "abc"), ("clock", "12"), ("clock", '"25:00:00"'), ("clock", '"12:60:00"'),
    ("clock", '["25:00:00" TO "26:00:00"]'), ("clock", "1*"),
    ("span", "abc"), ("span", "1.5"),
    ("blob", "x"), ("thing", "x"), ("options", "x"), ("options", "*"),
]  # fmt: skip
GOOD_VALUES = [
    ("count", "[-5 TO -1]"), ("count", '"-5"'), ("count", r"\-5"), ("big", str(2**63 - 1)),
    ("small", "7"), ("ratio", "1e3"), ("ratio", "[-1.5 TO *]"), ("price", "1.5"),
    ("flag", "true"), ("flag", "FALSE"), ("day", "2014-06"), ("moment", "2014-06-30T12:00:00Z"),
    ("clock", '"12:30:00"'), ("clock", '["12:00" TO "13:00"]'), ("span", "60"),
    ("words", "x"), ("keeper", "k1"), ("keeper.name", "x"), ("label.text", "x"), ("kind", "x"),
]  # fmt: skip


class TestEveryKindOfField:
    @pytest.fixture(scope="class")
    def zoo_app(self, primary_url: str, backend_url: str, module_prefix: str) -> TestApp:
        return zoo(primary_url, backend_url, f"{module_prefix}-zoo")

    @pytest.mark.parametrize(("name", "value"), BAD_VALUES, ids=str)
    def test_a_value_that_does_not_fit(self, name: str, value: str, zoo_app: TestApp):
        refused(zoo_app, f"/items?_search=true&{parameter(name, value)}", name)

    @pytest.mark.parametrize(("name", "value"), GOOD_VALUES, ids=str)
    def test_a_value_that_fits(self, name: str, value: str, zoo_app: TestApp):
        response = zoo_app.get(f"/items?_search=true&{parameter(name, value)}")
        assert response.headers["X-Search-Engine"] == "mirror"

    @pytest.mark.parametrize("name", ["blob", "thing", "options", "label", "keeper"])
    def test_what_nothing_can_be_sorted_by(self, name: str, zoo_app: TestApp):
        refused(zoo_app, f"/items?_search=true&_sort={name}", "_sort")

    @pytest.mark.parametrize("name", ["blob", "thing", "options", "label"])
    def test_what_q_can_not_look_into(self, name: str, zoo_app: TestApp):
        refused(zoo_app, f"/items?q=x&_search_fields={name}", "_search_fields")

    @pytest.mark.parametrize(("name", "value"), BAD_VALUES, ids=str)
    def test_without_a_search_the_primary_decides(self, name: str, value: str, zoo_app: TestApp):
        read = f"/items?{parameter(name, value)}"
        response, primary = ask(zoo_app, read), ask(zoo_app, read + "&_search=false")
        assert response.status_int == primary.status_int < 500
        assert response.json.get("message") == primary.json.get("message")

    @anything_goes
    @given(
        name=st.sampled_from(sorted({name for name, _ in BAD_VALUES + GOOD_VALUES})), value=values
    )
    def test_any_text(self, name: str, value: str, zoo_app: TestApp):
        answered(zoo_app, "/items", "_search=true", parameter(name, value))


class TestPatternsAreOn:
    """An application that allows leading wildcards and regular expressions."""

    @pytest.fixture(scope="class")
    def zoo_app(self, primary_url: str, backend_url: str, module_prefix: str) -> TestApp:
        return zoo(
            primary_url,
            backend_url,
            f"{module_prefix}-patterns",
            **{
                "nefertari_search.allow_leading_wildcards": "true",
                "nefertari_search.allow_regular_expressions": "true",
            },
        )

    @pytest.mark.parametrize("value", ["*x", "?x", "*", "/x.*/", "/[a-c]+/", "*x*y*", "/((a*)*)*/"])
    def test_they_are_taken(self, value: str, zoo_app: TestApp):
        response = zoo_app.get(f"/items?_search=true&{parameter('name', value)}")
        assert response.headers["X-Search-Engine"] == "mirror"

    @pytest.mark.parametrize(
        "value",
        [
            "/[/",
            "/(a/",
            "/a{2/",
            "/a{2,1}/",
            "/[b-a]/",
            "/a{1,1000000}/",
            "/a{1000}{1000}{1000}/",
            "/" + "a?" * 400 + "/",
            "*a" * 100,
        ],
        ids=lambda value: value[:20],
    )
    def test_broken_and_endless_ones_are_not(self, value: str, zoo_app: TestApp):
        refused(zoo_app, f"/items?_search=true&{parameter('name', value)}", "name")
