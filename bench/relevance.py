"""How well a search box finds what people mean: 60 texts, each with the films that must come first.

    python -m bench.relevance [embedded|elasticsearch|opensearch] [--verbose]

The texts were written before the code was tuned, from what somebody who looks for a film expects;
one film of a line must be among the first three. Printed for ``_query``, for ``q`` (Lucene syntax,
where it is no error) and for a bare ``multi_match`` of type ``best_fields`` over all texts:
success@3, the share of texts with such a film; MRR, the mean of 1/rank of the first one (0 beyond
the tenth).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from webtest import TestApp

from tests.servers import ElasticsearchServer, OpenSearchServer, shared
from tests.support.apps import films, load_films, search_of

DEPTH = 10
FIRST = 3
#: a text, and the titles of which one must be among the first three
TEXTS = """
Mission: Impossible | Mission: Impossible
the godfather | The Godfather
godfather part 2 | The Godfather Part II | The Godfather
lord of the rings | The Lord of the Rings: The Fellowship of the Ring | The Lord of the Rings
fellowship of the ring | The Lord of the Rings: The Fellowship of the Ring
star wars | Star Wars: Episode IV \u2013 A New Hope
a new hope | Star Wars: Episode IV \u2013 A New Hope
empire strikes back | Star Wars: Episode V \u2013 The Empire Strikes Back
kubrick shining | The Shining
kubrick space odyssey | 2001: A Space Odyssey
2001 | 2001: A Space Odyssey
hitchcock birds | The Birds
psycho hitchcock | Psycho
nolan memento | Memento
dark knight | The Dark Knight
matrix | The Matrix
alien 1979 | Alien
aliens | Aliens
ridley scott alien | Alien
blade runner | Blade Runner
pulp fiction | Pulp Fiction
tarantino kill bill | Kill Bill: Volume 1 | Kill Bill: Volume 2
reservoir dogs | Reservoir Dogs
schindlers list | Schindler's List
schindler's list spielberg | Schindler's List
oceans eleven | Ocean's Eleven
amelie | Am\u00e9lie
leon reno | L\u00e9on: The Professional
amores perros | Amores perros
pans labyrinth | Pan's Labyrinth
seven samurai | Seven Samurai
kurosawa ran | Ran
rashomon | Rashomon
tarkovsky solaris | Solaris
tarkovski stalker | Stalker
andrei rublev | Andrei Rublev
godfahter | The Godfather
godfathr | The Godfather
shawshenk redemption | The Shawshank Redemption
shawshank redemtion | The Shawshank Redemption
kubrik shinning | The Shining
clockwork ornage | A Clockwork Orange
casablnca | Casablanca
vertgo | Vertigo
citizen kan | Citizen Kane
taxi drivr | Taxi Driver
inglorious basterds | Inglourious Basterds
eternal sunshine spotless mind | Eternal Sunshine of the Spotless Mind
starwars | Star Wars: Episode IV \u2013 A New Hope
spiderman | Spider-Man
spider man 2 | Spider-Man 2
xmen | X-Men
wall e | WALL-E
et extra terrestrial | E.T. the Extra-Terrestrial
batmanbegins | Batman Begins
god father | The Godfather
braveheart gibson | Braveheart
pacino scarface | Scarface
de niro taxi | Taxi Driver
coppola apocalypse now | Apocalypse Now
""".strip().splitlines()

Search = Callable[[str], list[str]]
#: backend -> what returns its URL, for a folder of this run
SERVERS: dict[str, Callable[[str], str]] = {
    "embedded": lambda folder: f"embedded:{folder}/search",
    "elasticsearch": lambda _: shared.start_or_attach(ElasticsearchServer).url,
    "opensearch": lambda _: f"opensearch+{shared.start_or_attach(OpenSearchServer).url}",
}


def texts_with_titles() -> list[tuple[str, set[str]]]:
    """Return the texts, each with the titles that may come first."""
    lines = [[part.strip() for part in line.split(" | ")] for line in TEXTS]
    return [(text, set(titles)) for text, *titles in lines]


def by_parameter(app: TestApp, name: str) -> Search:
    """Return what searches the films by a parameter; an error finds nothing."""

    def search(text: str) -> list[str]:
        response = app.get(f"/films?{name}={quote(text)}&_limit={DEPTH}", expect_errors=True)
        return [item["title"] for item in response.json.get("data", [])]

    return search


def by_multi_match(app: TestApp) -> Search:
    """Return what searches the films by a bare ``multi_match`` over all their texts."""
    runtime = search_of(app)
    mirror = runtime.mirrors.get("Film")
    names = [name for name, field in mirror.document_cls.fields().items() if field.kind == "text"]

    def search(text: str) -> list[str]:
        query = {"multi_match": {"query": text, "fields": names, "type": "best_fields"}}
        response = runtime.backend.search(mirror.alias, {"query": query, "size": DEPTH})
        return [hit["_source"]["title"] for hit in response["hits"]["hits"]]

    return search


def measure(search: Search, show: Callable[[str], Any]) -> tuple[float, float]:
    """Return success@3 and MRR of *search*; *show* gets a line for each text that failed."""
    successes, reciprocal = 0, 0.0
    texts = texts_with_titles()
    for text, titles in texts:
        ranked = search(text)
        ranks = [rank for rank, title in enumerate(ranked, 1) if title in titles]
        successes += bool(ranks) and ranks[0] <= FIRST
        reciprocal += 1 / ranks[0] if ranks else 0.0
        if not ranks or ranks[0] > FIRST:
            show(f"  {text}: {', '.join(ranked[:FIRST]) or 'nothing'}")
    return successes / len(texts), reciprocal / len(texts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("backend", nargs="?", default="embedded", choices=list(SERVERS))
    parser.add_argument("--verbose", action="store_true", help="show the texts that failed")
    options = parser.parse_args()
    with shared.owned(), tempfile.TemporaryDirectory() as folder:
        url = SERVERS[options.backend](folder)
        prefix = "relevance"
        load_films(Path(folder), url, prefix)
        app = films(Path(folder), url, prefix)
        ways = {
            "_query": by_parameter(app, "_query"),
            "q": by_parameter(app, "q"),
            "multi_match": by_multi_match(app),
        }
        for name, search in ways.items():
            success, mrr = measure(search, print if options.verbose else lambda line: None)
            print(f"{options.backend} {name:12} success@{FIRST} {success:.3f}, MRR {mrr:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
