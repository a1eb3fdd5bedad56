"""The example application on MongoDB: one line of its ini file is another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.servers import FerretdbServer, Pserve
from tests.support.apps import INI, TOP, backend_and_hosts

pytestmark = pytest.mark.mongodb

# Of 17,472: FerretDB compares every `$in` with every document, which takes minutes for all.
FIRST = 200
DIRECTORS = ["Agnès Varda", "Akira Kurosawa", "Woody Allen"]
THE_LINE = "nefertari.engine = nefertari_sqla"


class Films:
    """The application under pserve."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, path: str, method: str = "GET", body: Any = None) -> tuple[str, Any]:
        request = urllib.request.Request(
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.headers.get("X-Search-Engine", ""), json.load(answer)


@pytest.fixture(scope="module")
def films(
    tmp_path_factory: pytest.TempPathFactory,
    ferretdb_server: FerretdbServer,
    backend_url: str,
    module_prefix: str,
) -> Any:
    text = INI.read_text()
    assert text.count(THE_LINE) == 1
    folder = tmp_path_factory.mktemp("films")
    ini = folder / "development.ini"
    ini.write_text(text.replace(THE_LINE, "nefertari.engine = nefertari_mongodb"))
    backend, hosts = backend_and_hosts(backend_url)
    variables = {
        "mongodb_port": str(ferretdb_server.port),
        "mongodb_db": f"films_{uuid.uuid4().hex[:12]}",
        "backend": backend,
        "elasticsearch_hosts": hosts,
        "index_name": module_prefix,
    }
    environment = {
        **os.environ,
        "PYTHONPATH": f"{TOP}{os.pathsep}{TOP / 'examples' / 'films'}",
        "PYTHONWARNINGS": "ignore",
    }
    run(["films.load", str(ini)], variables, environment, folder)
    keep_some(ferretdb_server.url, variables["mongodb_db"])
    command = ["nefertari_search_tween.scripts.main", "rebuild", str(ini)]
    run(command, variables, environment, folder)
    with Pserve(ini, variables=variables, env=environment) as served:
        yield Films(served.url)


def keep_some(url: str, name: str) -> None:
    """Delete all films but some, and people who have directed none of these."""
    from pymongo import MongoClient

    client: Any = MongoClient(url)
    with client:
        database = client[name]
        people = list(database.person.find({"name": {"$in": DIRECTORS}}))
        assert len(people) == len(DIRECTORS)
        film_ids = {film for person in people for film in person["films"]}
        film_ids |= {film["_id"] for film in database.film.find({}).sort("_id", 1).limit(FIRST)}
        films = list(database.film.find({"_id": {"$in": list(film_ids)}}))
        database.film.drop()
        database.film.insert_many(films)
        directed: dict[Any, list[Any]] = {}
        for film in films:
            directed.setdefault(film.get("director"), []).append(film["_id"])
        people = [
            {**person, "films": directed[person["_id"]]}
            for person in database.person.find({})
            if person["_id"] in directed
        ]
        database.person.drop()
        database.person.insert_many(people)


def run(
    command: list[str], variables: dict[str, str], environment: dict[str, str], cwd: Path
) -> None:
    words = [f"{key}={value}" for key, value in variables.items()]
    done = subprocess.run(
        [sys.executable, "-m", *command, *words],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "path",
    [
        "/films?_sort=id",
        "/films?year=1999&rating=R&_sort=-meter,title,id",
        "/films?year=1999&_fields=title,meter&_limit=5&_sort=id",
        "/films?oscars=0&_count",
        f"/people?name={quote('Agnès Varda')}",
        "/genres?_sort=name",
        "/countries?_sort=-name&_limit=50",
    ],
)
def test_the_mirror_answers_what_mongodb_answers(films: Films, path: str) -> None:
    engine, mirrored = films.call(path)
    assert engine == "mirror"
    engine, primary = films.call(f"{path}&_search=false")
    assert engine == "primary; reason=search-false"
    assert mirrored == primary
    assert mirrored["data"]


def test_everything_is_there_and_searched(films: Films) -> None:
    assert films.call("/films?_limit=1")[1]["total"] > FIRST
    engine, body = films.call("/films?_search=true&q=director.name:kurosawa")
    assert engine == "mirror" and body["total"] > 10
    assert all("Kurosawa" in each["director"]["name"] for each in body["data"])
    day = body["data"][0]["released"][:10]
    engine, released = films.call(f"/films?released={day}")
    assert engine == "mirror" and released["total"] >= 1
    _, person = films.call(f"/people?name={quote('Woody Allen')}")
    woody = person["data"][0]
    _, directed = films.call(f"/people/{woody['id']}/films?_limit=100")
    assert directed["total"] == len(woody["films"]) > 20


def test_writes_are_found_at_once(films: Films) -> None:
    _, genres = films.call("/genres?_limit=1")
    genre = genres["data"][0]
    film = {"title": "Our holiday", "year": 2026, "released": "2026-08-01", "genres": [genre["id"]]}
    _, created = films.call("/films", "POST", film)
    assert created
    engine, body = films.call("/films?title=Our%20holiday")
    assert engine == "mirror"
    (document,) = body["data"]
    assert document["genres"][0]["name"] == genre["name"]
    assert document["released"] == "2026-08-01T00:00:00Z"
    films.call(f"/genres/{genre['id']}", "PATCH", {"name": "Changed"})
    _, body = films.call("/films?title=Our%20holiday")
    assert body["data"][0]["genres"][0]["name"] == "Changed"
    films.call(f"/films/{document['id']}", "DELETE")
    assert films.call("/films?title=Our%20holiday&_count")[1] == {"data": 0}
