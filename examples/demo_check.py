"""What the demo promises, asked of the running application: real requests, checked answers."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

FILMS = 17472


@dataclass
class Answer:
    """An HTTP answer: status, headers, and the JSON body."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def engine(self) -> str:
        return self.headers.get("X-Search-Engine", "")

    @property
    def titles(self) -> list[str]:
        return [film["title"] for film in self.body["data"]]


class Client:
    """Requests to one application; answers of every status are returned, none raised."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, path: str, *, method: str = "GET", body: Any = None, **query: Any) -> Answer:
        # Names with a leading underscore (`_limit`) are nefertari's; values are URL-encoded here.
        url = f"{self.url}{path}" + (f"?{urlencode(query)}" if query else "")
        request = urllib.request.Request(url, method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return self._answer(answer)
        except urllib.error.HTTPError as error:
            with error:
                return self._answer(error)

    @staticmethod
    def _answer(response: Any) -> Answer:
        text = response.read()
        return Answer(response.status, response.headers, json.loads(text) if text else None)


def run(url: str) -> int:
    """Run every check, print a line for each; 0 when all hold, 1 otherwise."""
    client = Client(url)
    failures = successes = 0
    for check in CHECKS:
        try:
            check(client)
        except Exception as error:  # noqa: BLE001 (one failed check must not hide the others)
            failures += 1
            print(f"FAILED  {check.__doc__}\n        {type(error).__name__}: {error}", flush=True)
        else:
            successes += 1
            print(f"ok      {check.__doc__}", flush=True)
    print(f"demo-check: {successes} passed, {failures} failed", flush=True)
    return 1 if failures else 0


CHECKS: list[Callable[[Client], None]] = []


def check(function: Callable[[Client], None]) -> Callable[[Client], None]:
    CHECKS.append(function)
    return function


def expect(what: str, got: Any, expected: Any) -> None:
    if got != expected:
        raise AssertionError(f"{what} is {got!r}, expected {expected!r}")


def holds(condition: object, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def comparable(answer: Answer) -> dict[str, Any]:
    """The body without what differs between any two requests: how long it took."""
    return {key: value for key, value in answer.body.items() if key != "took"}


@check
def collection(get: Client) -> None:
    """a collection read is answered by the mirror"""
    answer = get("/films", _limit=3)
    expect("status", answer.status, 200)
    expect("X-Search-Engine", answer.engine, "mirror")
    expect("total", answer.body["total"], FILMS)
    expect("count", answer.body["count"], 3)


@check
def forced_primary(get: Client) -> None:
    """_search=false asks the database"""
    answer = get("/films", _search="false", _limit=3)
    expect("status", answer.status, 200)
    holds(answer.engine.startswith("primary"), f"X-Search-Engine is {answer.engine!r}")
    expect("total", answer.body["total"], FILMS)


@check
def same_answers(get: Client) -> None:
    """mirror and database give the same bodies: filters, sorts, pages, fields"""
    for query in same_queries():
        mirror, primary = get("/films", **query), get("/films", _search="false", **query)
        expect(f"X-Search-Engine of {query}", mirror.engine, "mirror")
        holds(primary.engine.startswith("primary"), f"{query}: {primary.engine!r}")
        expect(f"status of {query}", mirror.status, 200)
        expect(f"body of {query}", comparable(mirror), comparable(primary))


def same_queries() -> Iterator[dict[str, Any]]:
    yield {"year": 1972, "_sort": "-meter,id", "_limit": 50}
    yield {"year": 1999, "rating": "R", "_sort": "id", "_limit": 30, "_page": 2}
    yield {"oscars": 3, "_sort": "-year,id", "_fields": "title,year,oscars"}
    yield {"title": "The Godfather", "_sort": "id"}
    yield {"_sort": "-box_office,id", "_limit": 20}


@check
def exact_filter(get: Client) -> None:
    """a filter is exact: no film but those of that very title"""
    answer = get("/films", title="The Godfather")
    expect("X-Search-Engine", answer.engine, "mirror")
    expect("titles", set(answer.titles), {"The Godfather"})
    expect("years", [film["year"] for film in answer.body["data"]], [1972])
    expect("a title in lower case", get("/films", title="the godfather").body["total"], 0)


@check
def full_text(get: Client) -> None:
    """q searches every field"""
    answer = get("/films", q="godfather", _sort="year", _limit=50)
    expect("X-Search-Engine", answer.engine, "mirror")
    films = {(film["title"], film["year"]) for film in answer.body["data"]}
    holds(("The Godfather", 1972) in films, f"no The Godfather of 1972 in {sorted(films)}")
    years = [film["year"] for film in answer.body["data"]]
    expect("the order", years, sorted(years))


@check
def lucene_syntax(get: Client) -> None:
    """_search=true reads values as Lucene: phrases and ranges"""
    phrase = get("/films", _search="true", title='"the third man"')
    holds("The Third Man" in phrase.titles, f"titles are {phrase.titles}")
    ranged = get("/films", _search="true", year="[1990 TO 1992]", _limit=100)
    years = {film["year"] for film in ranged.body["data"]}
    holds(years and years <= {1990, 1991, 1992}, f"years are {sorted(years)}")


@check
def nested_search(get: Client) -> None:
    """a field of a nested document can be searched"""
    answer = get("/films", _search="true", q="director.name:kurosawa", _limit=100)
    directors = {film["director"]["name"] for film in answer.body["data"]}
    holds("Akira Kurosawa" in directors, f"directors are {sorted(directors)}")
    holds(all("Kurosawa" in name for name in directors), f"directors are {sorted(directors)}")


@check
def count(get: Client) -> None:
    """_count counts without reading"""
    mirror = get("/films", oscars=0, _count="")
    primary = get("/films", oscars=0, _count="", _search="false")
    expect("X-Search-Engine", mirror.engine, "mirror")
    holds(mirror.body["data"] > 0, f"counted {mirror.body}")
    expect("count", mirror.body, primary.body)


@check
def other_collections(get: Client) -> None:
    """people and genres are mirrored too"""
    people = get("/people", name="Woody Allen")
    expect("X-Search-Engine", people.engine, "mirror")
    expect("names", [person["name"] for person in people.body["data"]], ["Woody Allen"])
    expect("genres", get("/genres").body["total"], 21)


@check
def nested_collection(get: Client) -> None:
    """the films of one director"""
    person = get("/people", name="Woody Allen").body["data"][0]
    answer = get(f"/people/{person['id']}/films", _limit=100)
    expect("status", answer.status, 200)
    holds("Annie Hall" in answer.titles, f"titles are {answer.titles}")
    expect("how many", answer.body["count"], len(person["films"]))


@check
def bad_requests(get: Client) -> None:
    """bad requests are 400 and say why, in JSON"""
    for query in (
        {"no_such_field": 1},
        {"_start": -1},
        {"_search": "true", "title": '"never closed'},
    ):
        answer = get("/films", **query)
        expect(f"status of {query}", answer.status, 400)
        holds(answer.body["explanation"], f"{query}: no explanation in {answer.body}")
        holds(answer.body["message"], f"{query}: no message in {answer.body}")


@check
def item(get: Client) -> None:
    """an item read stays with the database"""
    film = get("/films", title="The Godfather").body["data"][0]
    answer = get(f"/films/{film['id']}")
    expect("status", answer.status, 200)
    expect("title", answer.body["title"], "The Godfather")
    holds(answer.engine != "mirror", "the mirror answered an item read")


@check
def writes(get: Client) -> None:
    """a film that is created, changed and deleted is so in the next collection read"""
    title = "The Demonstration"
    created = get("/films", method="POST", body={"title": title, "year": 2026})
    expect("status of POST", created.status, 201)
    answer = get("/films", title=title)
    expect("X-Search-Engine", answer.engine, "mirror")
    expect("films of the title", answer.titles, [title])
    film = answer.body["data"][0]
    expect("total", get("/films", _limit=1).body["total"], FILMS + 1)

    changed = get(f"/films/{film['id']}", method="PATCH", body={"year": 2027})
    expect("status of PATCH", changed.status, 200)
    expect("year", get("/films", title=title).body["data"][0]["year"], 2027)

    deleted = get(f"/films/{film['id']}", method="DELETE")
    expect("status of DELETE", deleted.status, 200)
    answer = get("/films", title=title)
    expect("X-Search-Engine", answer.engine, "mirror")
    expect("films of the title", answer.titles, [])
    expect("total", get("/films", _limit=1).body["total"], FILMS)


@check
def headers(get: Client) -> None:
    """Server-Timing says what a search cost"""
    answer = get("/films", _limit=1)
    holds("dur=" in answer.headers.get("Server-Timing", ""), f"headers are {answer.headers}")
