"""The embedded backend by itself: what searches compute, and what a rebuild writes.

    python -m bench.embedded [DOCUMENTS ...] [--beside CLONE ...] [--rounds N] [--json FILE]

Documents like films, of words as frequent as Zipf has them, made of a seed. Each clone of this
repository (another commit, say) is measured by this very script, in processes of its own that take
turns in random order; their answers have to be the same. Times are of the processor: the median of
each process's, and the least and the greatest of these medians.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
DOCUMENTS = [59_000, 337_000]
#: processes that search for each clone, and how often each of them runs a search
ROUNDS, REPEATS = 5, 5
# Documents that are written again, one by one.
SINGLE = 300
# As elasticsearch.chunk_size, by default.
CHUNK = 500
KEYWORD = {"type": "keyword", "ignore_above": 8191}
MAPPING = {
    "dynamic": False,
    "properties": {
        "key": KEYWORD,
        "title": {"type": "text", "fields": {"keyword": KEYWORD}},
        "plot": {"type": "text"},
        "genres": {"type": "text", "fields": {"keyword": KEYWORD}},
        "director": KEYWORD,
        "country": KEYWORD,
        "year": {"type": "long"},
        "votes": {"type": "long"},
        "rating": {"type": "double"},
        "released": {"type": "date"},
        "seen": {"type": "boolean"},
        "_inexact": KEYWORD,
    },
}


def words() -> list[str]:
    """The words, the commonest first: two to four syllables each."""
    syllables = [first + last for first in "bdfgklmnprstvz" for last in "aeiou"]
    spelled = itertools.chain(
        *(itertools.product(syllables, repeat=count) for count in (2, 3)),
    )
    some = ["".join(parts) for parts in itertools.islice(spelled, 40_000)]
    random.Random(0).shuffle(some)
    return some


def documents(count: int) -> Iterator[tuple[str, bytes]]:
    """Key and text of each document."""
    dice, vocabulary = random.Random(count), words()
    weights = list(itertools.accumulate(1 / (rank + 2) for rank in range(len(vocabulary))))
    genres = [f"genre{number}" for number in range(25)]
    for number in range(count):
        key = f"{number * 7919 % count:08}"
        text = dice.choices(vocabulary, cum_weights=weights, k=dice.randrange(12, 40))
        length = dice.randrange(1, 6)
        document = {
            "key": key,
            "title": " ".join(text[:length]),
            "plot": " ".join(text[length:]),
            "genres": sorted(set(dice.choices(genres, k=dice.randrange(1, 4)))),
            "director": f"director {int(dice.paretovariate(0.5)) % (count // 5)}",
            "country": f"country {int(dice.paretovariate(1)) % 60}",
            "year": dice.randrange(1920, 2020),
            "votes": int(dice.paretovariate(0.7)) % 1_000_000,
            "rating": round(dice.gauss(6, 1.5), 2),
            "released": f"{dice.randrange(1920, 2020)}-{dice.randrange(1, 13):02}-"
            f"{dice.randrange(1, 29):02}",
            "seen": dice.random() < 0.3,
        }
        yield key, json.dumps(document).encode()


def searches() -> dict[str, dict[str, Any]]:
    """The searches by name, as the query layer sends them."""
    common = words()[:40]

    def word(term: str) -> dict[str, Any]:
        return {"match_phrase": {"plot": {"query": term}}}

    def visible(**clauses: Any) -> dict[str, Any]:
        # Every search excludes the stubs of rejected documents.
        return {"bool": {**clauses, "must_not": [{"term": {"_inexact": "*"}}]}}

    def page(query: dict[str, Any]) -> dict[str, Any]:
        sort = [{"_score": {"order": "desc"}}, {"key": {"order": "asc"}}]
        body = {"query": visible(must=[query]), "sort": sort, "size": 20}
        return {**body, "track_total_hits": True}

    def aggregated(aggregation: dict[str, Any], **clauses: Any) -> dict[str, Any]:
        body = {"size": 0, "track_total_hits": False, "query": visible(**clauses)}
        return {**body, "aggs": {"it": aggregation}}

    any_of = {"bool": {"should": [word(each) for each in common[:3]], "minimum_should_match": 1}}
    all_of = {"bool": {"must": [word(each) for each in common[:2]]}}
    since = [{"range": {"year": {"gte": 1990}}}]
    month = {"date_histogram": {"field": "released", "calendar_interval": "month"}}
    return {
        "common word": page(word(common[0])),
        "rare word": page(word(words()[5000])),
        "OR of three": page(any_of),
        "AND": page(all_of),
        "AND with a rarer one": page({"bool": {"must": [word(common[1]), word(common[30])]}}),
        "phrase": page({"match_phrase": {"plot": {"query": " ".join(common[:2])}}}),
        "page of all by key": {
            **page({}),
            "query": visible(),
            "sort": [{"key": {"order": "asc", "missing": "_last"}}],
        },
        "count of all": {"size": 0, "track_total_hits": True, "query": visible()},
        "count of a word": {**page(word(common[0])), "size": 0},
        "count of OR": {**page(any_of), "size": 0},
        "terms over all": aggregated({"terms": {"field": "genres.keyword"}}),
        "terms over all, many": aggregated({"terms": {"field": "director"}}),
        "terms of matches": aggregated({"terms": {"field": "country"}}, filter=since),
        "date_histogram": aggregated(month),
        "cardinality": aggregated({"cardinality": {"field": "director"}}),
        "average": aggregated({"avg": {"field": "rating"}}),
    }


# In a process of a clone


def fill(directory: str, count: int) -> dict[str, float]:
    """Write the documents as a rebuild does."""
    from nefertari_search_tween.backends.base import BulkAction
    from nefertari_search_tween.backends.embedded.backend import EmbeddedBackend

    actions = [BulkAction("write", key, 0, body) for key, body in documents(count)]
    backend = EmbeddedBackend(directory)
    # Of a commit from before it had this, one chunk.
    size = CHUNK * getattr(backend, "backfill_chunks", 1)
    written, began, cpu = _written(), time.perf_counter(), time.process_time()
    backend.create_index("films-1", MAPPING, {}, ["write"])
    backend.put_settings("films-1", {"index.refresh_interval": "-1"})
    assert all(item.error is None for item in backend.bulk(actions, size))
    backend.put_settings("films-1", {"index.refresh_interval": None})
    backend.swap_alias("films", "films-1")
    seconds, computed = time.perf_counter() - began, time.process_time() - cpu
    total = _written() - written
    updates = []
    for action in actions[: SINGLE * 7 : 7]:
        cpu = time.process_time()
        (item,) = backend.bulk([BulkAction("write", action.id, 1, action.body)], 1)
        updates.append(time.process_time() - cpu)
        assert item.error is None
    backend.close()
    return {
        "documents/s": count / seconds,
        "documents/s of CPU": count / computed,
        "MB written": total / 1e6,
        "MB of files": sum(each.stat().st_size for each in Path(directory).iterdir()) / 1e6,
        "MB of documents": sum(len(action.body or b"") for action in actions) / 1e6,
        "µs of CPU of an update": 1e6 * statistics.median(updates),
    }


def _written() -> int:
    """Bytes that this process has written so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["wchar"])


def search(directory: str) -> dict[str, Any]:
    """Return the median milliseconds of each search, and a digest of its answer."""
    from nefertari_search_tween.backends.embedded.backend import EmbeddedBackend

    backend = EmbeddedBackend(directory, timeout=600.0)
    bodies = searches()
    samples: dict[str, list[float]] = {name: [] for name in bodies}
    digests = {}
    for turn in range(REPEATS + 1):
        for name in random.sample(list(bodies), len(bodies)):
            began = time.process_time()
            response = backend.search("films", bodies[name])
            if turn:
                samples[name].append(1000 * (time.process_time() - began))
            answer = json.dumps([response["hits"], response.get("aggregations")])
            digests[name] = hashlib.sha256(answer.encode()).hexdigest()
    return {
        "milliseconds": {name: statistics.median(each) for name, each in samples.items()},
        "digests": digests,
    }


# Turns


def _in(clone: Path, *arguments: str) -> Any:
    """What this script says when it is run with the package of *clone*."""
    environment = {**os.environ, "PYTHONPATH": str(clone)}
    command = [sys.executable, "-W", "ignore", __file__, *arguments]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def compare(clones: dict[str, Path], count: int, rounds: int, folder: Path) -> dict[str, Any]:
    """Measure the clones by name, this one first, on *count* documents."""
    names = random.sample(list(clones), len(clones))
    filled = {
        name: _in(clones[name], "--fill", str(folder / f"{name}-{count}"), str(count))
        for name in names
    }
    measured: dict[str, list[Any]] = {name: [] for name in clones}
    for _ in range(rounds):
        for name in random.sample(list(clones), len(clones)):
            measured[name].append(_in(clones[name], "--search", str(folder / f"{name}-{count}")))
    digests = [each["digests"] for results in measured.values() for each in results]
    different = [name for name in digests[0] if len({each[name] for each in digests}) > 1]
    assert not different, f"the answers differ: {different}"
    times = {
        query: {
            name: sorted(each["milliseconds"][query] for each in results)
            for name, results in measured.items()
        }
        for query in digests[0]
    }
    for name in clones:
        shutil.rmtree(folder / f"{name}-{count}")
    return {"documents": count, "rebuild": filled, "milliseconds": times}


def show(result: dict[str, Any], clones: list[str]) -> None:
    """Print a table: each clone, and how many times as long as this one the others take."""
    print(f"\n{result['documents']} documents")
    for figure in result["rebuild"][clones[0]]:
        values = "".join(f"{result['rebuild'][name][figure]:>26,.0f}" for name in clones)
        print(f"{figure:<24}{values}")
    for query, times in result["milliseconds"].items():
        own = statistics.median(times[clones[0]])
        row = ""
        for name in clones:
            each = times[name]
            median = statistics.median(each)
            row += f"{median:9.2f} ms {each[0]:.2f}-{each[-1]:.2f}".rjust(30)
            row += "" if name == clones[0] else f" x{median / own:.1f}"
        print(f"{query:<24}{row}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("documents", nargs="*", type=int, default=DOCUMENTS)
    parser.add_argument("--beside", action="append", default=[], type=Path, metavar="CLONE")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--fill", metavar="DIRECTORY", help=argparse.SUPPRESS)
    parser.add_argument("--search", metavar="DIRECTORY", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fill:
        print(json.dumps(fill(options.fill, options.documents[0])))
        return
    if options.search:
        print(json.dumps(search(options.search)))
        return
    clones = {"this": HERE, **{path.resolve().name: path.resolve() for path in options.beside}}
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for count in options.documents:
            results.append(compare(clones, count, options.rounds, Path(folder)))
            show(results[-1], list(clones))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
