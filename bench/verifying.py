"""What a rebuild and a verify cost, by each other and by the floor of what they write.

    python -m bench.verifying [--rows N] [--backend elasticsearch|embedded] [--rounds N]
                              [--processes N[,N...]] [--profile]

Everything takes turns in another order each round, on one backend: the flights (tests/apps/large),
and the films with their nested directors and genres (examples/films). Seconds are the medians of
the rounds, with the lowest and the highest. The floor of a rebuild is the same documents, made of
the rows of ``sqlite3`` by plain Python, and given to the client's ``parallel_bulk``.

With ``--profile`` each work is done once more under ``cProfile``, and the functions are shown in
which it spent its time.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import pstats
import random
import sqlite3
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

from pyramid.paster import get_app

from nefertari_search_tween.mirror.registry import MirrorRegistry
from tests.apps.large import load
from tests.servers import ElasticsearchServer, shared
from tests.support.apps import backend_and_hosts, films, load_films, search_of

SHOWN = 25
Work = Callable[[], Any]


class Side:
    """One application, and its work on one model.

    :param folder: where its database is, called *database*.
    """

    def __init__(self, search: Any, model: str, database: Path) -> None:
        self.search = search
        self.mirror = search.mirrors.get(model)
        self.size = search.settings.chunk_size
        self.database = database

    def work(self, processes: list[int]) -> dict[str, Work]:
        """What takes turns, by its name."""
        from nefertari_search_tween.indexing.rebuild.rebuild import rebuild
        from nefertari_search_tween.indexing.verify.verify import verify

        search, mirror = self.search, self.mirror

        def build(**options: Any) -> None:
            rebuild(
                search.mirrors,
                search.rebuild_locks,
                search.outbox,
                [mirror],
                self.size,
                **options,
            )

        def compare(**options: Any) -> None:
            differences = verify(search.mirrors, search.outbox, mirror, self.size, **options)
            assert differences.clean, differences

        works: dict[str, Work] = {}
        for number in processes:
            # Not as an argument: a release of before has none of that name.
            options = {} if number == 1 else {"processes": number}
            suffix = "" if number == 1 else f" by {number}"
            works[f"rebuild{suffix}"] = lambda options=options: build(**options)
            works[f"verify{suffix}"] = lambda options=options: compare(**options)
        works["columns"] = lambda: [None for _ in mirror.reader.scan(self.size)]
        works["objects"] = lambda: [None for _ in mirror.reader.scan_objects(self.size)]
        if hasattr(search.backend, "client"):
            works["floor"] = self.floor
        return works

    def floor(self) -> None:
        """Write the documents of plain rows by the client's own helper."""
        from elasticsearch.helpers import parallel_bulk

        backend, mirrors = self.search.backend, self.search.mirrors
        assert isinstance(mirrors, MirrorRegistry)
        name = f"{self.mirror.alias}-floor"
        backend.create_index(name, self.mirror.mapping, {"index.refresh_interval": "-1"}, [])
        actions = (
            {"_index": name, "_id": str(row["id"]), "_source": row} for row in self.documents()
        )
        client = backend.client.options(request_timeout=60)
        for _ in parallel_bulk(client, actions, chunk_size=self.size):
            pass
        backend.delete_index(name)

    def documents(self) -> Iterator[dict[str, Any]]:
        rows = sqlite3.connect(self.database, check_same_thread=False)
        rows.row_factory = sqlite3.Row
        table = self.mirror.model.__tablename__
        nested = _nested_in_films(rows) if table == "films" else {}
        for row in rows.execute(f"SELECT * FROM {table} ORDER BY id"):
            document = dict(row)
            for name, values in nested.items():
                key = document["director_id"] if name == "director" else document["id"]
                document[name] = values.get(key)
            yield document


def _nested_in_films(rows: sqlite3.Connection) -> dict[str, dict[Any, Any]]:
    """What films show of others, by the key that they are found by."""
    listed: dict[Any, list[Any]] = defaultdict(list)
    for director, film in rows.execute("SELECT director_id, id FROM films ORDER BY id"):
        listed[director].append(film)
    people = {
        row["id"]: {**dict(row), "films": listed[row["id"]]}
        for row in rows.execute("SELECT * FROM people")
    }
    by_key = {row["id"]: dict(row) for row in rows.execute("SELECT * FROM genres")}
    genres: dict[Any, list[Any]] = defaultdict(list)
    for film, genre in rows.execute("SELECT * FROM film_genres ORDER BY 2"):
        genres[film].append(by_key[genre])
    countries: dict[Any, list[Any]] = defaultdict(list)
    for film, country in rows.execute("SELECT * FROM film_countries ORDER BY 2"):
        countries[film].append(country)
    return {"director": people, "genres": genres, "countries": countries}


def measure(title: str, works: dict[str, Work], rounds: int) -> None:
    """Print the seconds of *works*, and their ratios to a rebuild and to the floor."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    chance = random.Random(0)
    works["rebuild"]()
    for _ in range(rounds):
        for name in chance.sample(list(works), len(works)):
            began = time.perf_counter()
            works[name]()
            seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    print(title)
    for name, median in medians.items():
        low, high = min(seconds[name]), max(seconds[name])
        line = f"  {name:<14} {median:7.2f} s ({low:.2f} to {high:.2f})"
        line += f", {median / medians['rebuild']:5.2f} of a rebuild"
        if "floor" in medians:
            line += f", {median / medians['floor']:5.2f} of the floor"
        print(line)


def profile(title: str, work: Work) -> None:
    """Print in which functions the time of *work* goes."""
    profiler = cProfile.Profile()
    profiler.runcall(work)
    print(f"--- {title}")
    pstats.Stats(profiler).strip_dirs().sort_stats("tottime").print_stats(SHOWN)


def flights_side(folder: Path, url: str, rows: int) -> Side:
    ini = folder / "flights.ini"
    ini.write_text(load.INI)
    backend, hosts = backend_and_hosts(url)
    options = {
        "database": f"sqlite:///{folder}/flights.sqlite",
        "backend": backend,
        "elasticsearch_hosts": hosts,
    }
    load.main(str(ini), str(rows), *(f"{key}={value}" for key, value in options.items()))
    registry = get_app(str(ini), options=options).registry
    return Side(registry.nefertari_search, "Flight", folder / "flights.sqlite")


def films_side(folder: Path, url: str) -> Side:
    load_films(folder, url, "bench")
    return Side(search_of(films(folder, url, "bench")), "Film", folder / "films.sqlite")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--backend", choices=["elasticsearch", "embedded"], default="embedded")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", default="1,2")
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    processes = [int(each) for each in arguments.processes.split(",")]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = f"embedded:{folder}/search"
        if arguments.backend == "elasticsearch":
            stack.enter_context(shared.owned())
            url = stack.enter_context(ElasticsearchServer()).url
        for title, make in (
            (f"{arguments.rows} flights", lambda: flights_side(folder, url, arguments.rows)),
            ("films, nested", lambda: films_side(folder, url)),
        ):
            side = make()
            works = side.work(processes)
            measure(f"{title}, {arguments.backend}", works, arguments.rounds)
            if arguments.profile:
                for name in ("verify", "rebuild"):
                    profile(f"{name} of {title}", works[name])
        # Each application stops the one before it.
        side.search.stop()


if __name__ == "__main__":
    main()
