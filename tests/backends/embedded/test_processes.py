"""The embedded backend's files among processes that write, read, and are killed.

NEFERTARI_SEARCH_TEST_SECONDS is how long processes write and read at once,
NEFERTARI_SEARCH_TEST_KILLS how often a writer is killed.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from nefertari_search_tween.backends.base import BulkAction
from nefertari_search_tween.backends.embedded.backend import EmbeddedBackend
from nefertari_search_tween.exceptions import BackendTimeout, BackendUnavailable
from tests.support.paths import TOP
from tests.support.tiers import examples

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("NEFERTARI_SEARCH_TEST_SECONDS", max(3, examples(10))))
KILLS = int(os.environ.get("NEFERTARI_SEARCH_TEST_KILLS", examples(10)))

KEYWORD = {"type": "keyword", "ignore_above": 8191}
MAPPING = {
    "dynamic": False,
    "properties": {
        "text": {"type": "text", "fields": {"keyword": KEYWORD}},
        "writer": {"type": "long"},
        "round": {"type": "long"},
        "tags": KEYWORD,
        "parts": {
            "type": "nested",
            "properties": {"name": {"type": "text"}, "round": {"type": "long"}},
        },
    },
}
ALIAS, INDEX = "mirror", "mirror-000001"
WRITE = f"{INDEX}-write"
# Documents of one bulk: they always change together.
TOGETHER = 20
WORDS = ["dark", "knight", "city", "crystal", "night", "day", "joker", "girl", "world", "shard"]


def document(writer: int, number: int, turn: int) -> bytes:
    """One of the documents that change together; all of it follows from its numbers."""
    dice = random.Random(f"{writer} {number} {turn}")
    words = dice.choices(WORDS, k=dice.randrange(1, 30))
    return json.dumps(
        {
            "text": " ".join([*words, f"turn{turn}", f"writer{writer}"]),
            "writer": writer,
            "round": turn,
            "tags": dice.sample(WORDS, dice.randrange(4)),
            "parts": [
                {"name": " ".join(dice.choices(WORDS, k=3)), "round": turn}
                for _ in range(dice.randrange(4))
            ],
        }
    ).encode()


def bulk_of(writer: int, turn: int) -> list[BulkAction]:
    """The bulk of a turn; every fifth deletes, the next brings everything back."""
    return [
        BulkAction(
            WRITE,
            f"{writer}-{number}",
            turn,
            None if turn % 5 == 4 else document(writer, number, turn),
        )
        for number in range(TOGETHER)
    ]


def write(backend: EmbeddedBackend, writer: int, turn: int) -> None:
    for outcome in backend.bulk(bulk_of(writer, turn), TOGETHER):
        assert outcome.error is None, outcome


def state(backend: EmbeddedBackend, writer: int) -> tuple[int, set[int]]:
    """Number of the writer's documents and their rounds, in one search."""
    answer = backend.search(
        ALIAS,
        {
            "query": {"bool": {"filter": [{"term": {"writer": writer}}]}},
            "sort": [{"round": {"order": "asc"}}],
            "size": TOGETHER + 5,
            "track_total_hits": True,
            "aggs": {
                "rounds": {"terms": {"field": "round"}},
                "words": {"filter": {"match_phrase": {"text": {"query": f"writer{writer}"}}}},
            },
        },
    )
    total = answer["hits"]["total"]["value"]
    rounds = {hit["_source"]["round"] for hit in answer["hits"]["hits"]}
    assert {hit["sort"][0] for hit in answer["hits"]["hits"]} == rounds
    assert {bucket["key"] for bucket in answer["aggregations"]["rounds"]["buckets"]} == rounds
    assert answer["aggregations"]["words"]["doc_count"] == total == len(answer["hits"]["hits"])
    return total, rounds


def contents(directory: Path) -> dict[str, Any]:
    """What the tables of the index hold, by documents' ids instead of row numbers."""
    connection = sqlite3.connect(directory / "search.sqlite")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    (number,) = connection.execute("SELECT number FROM indices").fetchone()
    (layout,) = connection.execute("SELECT layout FROM indices").fetchone()
    names = {str(n): name for name, n in json.loads(layout)["fields"].items()}
    table = f"i{number}_"
    owner = {
        0: f"(SELECT doc, doc AS root FROM {table}r0)",
        1: f"(SELECT doc, root FROM {table}r1)",
    }
    contents: dict[str, Any] = {"terms": [], "lists": [], "rows": []}
    for level, rows in owner.items():
        inside = [n for n, name in names.items() if name.startswith("parts.") == (level == 1)]
        numbers = ", ".join(inside)
        for kind, columns, source in (
            ("terms", "t.field, t.term, t.tf, t.length, t.positions", "post"),
            ("lists", "t.field, t.place, t.value", "multi"),
        ):
            contents[kind] += [
                (names[str(row[1])], row[0], *row[2:])
                for row in connection.execute(
                    f"SELECT d.id, {columns} FROM {table}{source} t JOIN {rows} r "
                    f"ON r.doc = t.doc JOIN {table}docs d ON d.doc = r.root "
                    f"WHERE t.field IN ({numbers})"
                )
            ]
        columns = ", ".join(f"r.c{n}" for n in sorted(inside, key=int))
        contents["rows"] += [
            (level, *row)
            for row in connection.execute(
                f"SELECT d.id, {columns} FROM {table}r{level} r "
                f"JOIN {table}docs d ON d.doc = r.root"
            )
        ]
    # Nothing belongs to a document that is not there.
    for kind, source in (("terms", "post"), ("lists", "multi")):
        (count,) = connection.execute(f"SELECT count(*) FROM {table}{source}").fetchone()
        assert count == len(contents[kind])
    contents["stats"] = {
        names[str(field)]: (docs, terms)
        for field, docs, terms in connection.execute(f"SELECT * FROM {table}stats")
        if docs or terms
    }
    connection.close()
    return {
        kind: sorted(value, key=repr) if isinstance(value, list) else value
        for kind, value in contents.items()
    }


def assert_as_if_written_once(directory: Path, fresh: Path) -> None:
    """The tables are what they would be, had each document been written once, as it is now."""
    store = sqlite3.connect(directory / "search.sqlite")
    (number,) = store.execute("SELECT number FROM indices").fetchone()
    documents = store.execute(
        f"SELECT id, version, source FROM i{number}_docs WHERE source IS NOT NULL"
    ).fetchall()
    store.close()
    backend = EmbeddedBackend(str(fresh))
    backend.create_index(INDEX, MAPPING, {}, [ALIAS, WRITE])
    actions = [BulkAction(WRITE, key, version, body) for key, version, body in documents]
    assert all(outcome.error is None for outcome in backend.bulk(actions, 500))
    assert contents(directory) == contents(fresh)
    backend.close()


def created(directory: Path) -> EmbeddedBackend:
    backend = EmbeddedBackend(str(directory), timeout=30.0)
    backend.create_index(INDEX, MAPPING, {}, [ALIAS, WRITE])
    return backend


# Processes at once


def writes(directory: str, writer: int, start: Any, last: Any) -> None:
    backend = EmbeddedBackend(directory)
    turn = 0
    start.wait()
    until = time.time() + SECONDS
    while time.time() < until:
        turn += 1
        write(backend, writer, turn)
        last.value = turn


def reads(directory: str, start: Any, searches: Any, problems: Any) -> None:
    backend = EmbeddedBackend(directory, timeout=30.0)
    newest = [0, 0]
    start.wait()
    until = time.time() + SECONDS
    try:
        while time.time() < until:
            for writer in (0, 1):
                total, rounds = state(backend, writer)
                assert total in (0, TOGETHER), f"{total} documents"
                assert len(rounds) <= 1, f"documents of rounds {rounds}"
                if rounds:
                    (turn,) = rounds
                    assert turn >= newest[writer], f"round {turn} after {newest[writer]}"
                    newest[writer] = turn
                searches.value += 1
    except Exception as error:  # noqa: BLE001 - told by the parent
        problems.put(repr(error))


def test_two_processes_write_while_two_read(tmp_path: Path) -> None:
    directory = tmp_path / "mirrors"
    created(directory).close()
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(4, timeout=60)
    last = [context.Value("q", 0, lock=False) for _ in range(2)]
    searches = [context.Value("q", 0, lock=False) for _ in range(2)]
    problems = context.SimpleQueue()
    processes = [
        context.Process(target=writes, args=(str(directory), writer, start, last[writer]))
        for writer in range(2)
    ] + [
        context.Process(target=reads, args=(str(directory), start, count, problems))
        for count in searches
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(SECONDS + 120)
    assert problems.empty(), problems.get()
    assert [process.exitcode for process in processes] == [0] * 4
    assert all(turn.value > 3 for turn in last), "a writer starved"
    assert all(count.value > 3 for count in searches), "a reader starved"
    backend = EmbeddedBackend(str(directory))
    for writer in range(2):
        turn = last[writer].value
        expected = (0, set()) if turn % 5 == 4 else (TOGETHER, {turn})
        assert state(backend, writer) == expected
    backend.close()
    assert_as_if_written_once(directory, tmp_path / "fresh")


# Killed

VICTIM = """
import sys
from tests.backends.embedded.test_processes import EmbeddedBackend, write
backend, turn = EmbeddedBackend(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
while True:
    write(backend, 0, turn)
    print(turn, flush=True)
    turn += 1
"""


def test_a_killed_writer_loses_nothing_that_it_was_told(tmp_path: Path) -> None:
    directory = tmp_path / "mirrors"
    backend = created(directory)
    dice = random.Random(9)
    turn, killed_between = 1, 0
    for _ in range(KILLS):
        victim = subprocess.Popen(
            [sys.executable, "-c", VICTIM, str(directory), str(turn)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=TOP,
        )
        assert victim.stdout is not None and victim.stdout.readline() == "ready\n"
        time.sleep(dice.uniform(0.0, 0.4))
        victim.send_signal(signal.SIGKILL)
        reported = [int(line) for line in victim.stdout.read().split()]
        victim.wait()
        acknowledged = reported[-1] if reported else turn - 1
        total, rounds = state(backend, 0)
        # All of the last bulk, or all of the one that was on its way.
        possible = {acknowledged, acknowledged + 1}
        if total:
            assert total == TOGETHER and len(rounds) == 1 and rounds <= possible
        else:
            assert possible & {0, *range(4, acknowledged + 2, 5)}
        killed_between += bool(rounds) and rounds == {acknowledged + 1}
        # A process that opens the files anew sees the same.
        reopened = EmbeddedBackend(str(directory))
        assert state(reopened, 0) == (total, rounds)
        reopened.close()
        turn = acknowledged + 1
    assert turn > KILLS, "the writers hardly wrote"
    backend.close()
    assert_as_if_written_once(directory, tmp_path / "fresh")


# Threads, forks, faults


def test_threads_share_a_backend(tmp_path: Path) -> None:
    backend = created(tmp_path / "mirrors")
    problems: list[BaseException] = []

    def run(writer: int) -> None:
        try:
            for turn in range(1, 21):
                write(backend, writer, turn)
                expected = (0, set()) if turn % 5 == 4 else (TOGETHER, {turn})
                assert state(backend, writer) == expected
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            problems.append(error)
        finally:
            backend.close()

    threads = [threading.Thread(target=run, args=(writer,)) for writer in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    backend.close()
    assert_as_if_written_once(tmp_path / "mirrors", tmp_path / "fresh")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_worker_has_connections_of_its_own(tmp_path: Path) -> None:
    backend = created(tmp_path / "mirrors")
    write(backend, 0, 1)
    child = os.fork()
    if child == 0:
        try:
            write(backend, 1, 1)
            total, rounds = state(backend, 0)
            os._exit(0 if total == TOGETHER and len(rounds) == 1 else 1)
        except BaseException:  # noqa: BLE001 - the child must end here
            os._exit(2)
    for turn in range(2, 4):
        write(backend, 0, turn)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert state(backend, 1) == (TOGETHER, {1})
    assert state(backend, 0) == (TOGETHER, {3})
    backend.close()


def test_a_scan_sees_one_moment(tmp_path: Path) -> None:
    backend = created(tmp_path / "mirrors")
    write(backend, 0, 1)
    body = {"query": {"match_all": {}}, "sort": [{"text.keyword": {"order": "asc"}}]}
    pages = backend.scan(ALIAS, body, 7)
    hits = next(pages)
    write(backend, 0, 2)
    assert state(backend, 0) == (TOGETHER, {2})
    hits += [hit for page in pages for hit in page]
    assert [hit["_source"]["round"] for hit in hits] == [1] * TOGETHER
    # One that is left early holds nothing back.
    pages = backend.scan(ALIAS, body, 7)
    next(pages)
    pages.close()
    backend.delete_index(INDEX)
    backend.close()


def test_a_search_ends_in_time(tmp_path: Path) -> None:
    backend = created(tmp_path / "mirrors")
    for writer in range(40):
        write(backend, writer, 1)
    slow = [
        {"nested": {"path": "parts", "query": {"range": {"parts.round": {"lt": 9 + each}}}}}
        for each in range(400)
    ]
    query = {"bool": {"must_not": [{"bool": {"must_not": [each]}} for each in slow]}}
    with pytest.raises(BackendTimeout, match=r"longer than 0\.01 seconds"):
        backend.search(ALIAS, {"query": query}, timeout=0.01)
    # Not in the database: a pattern with very many states on the way through a long term.
    list(backend.bulk([BulkAction(WRITE, "long", 1, json.dumps({"text": "a" * 200}).encode())], 1))
    pattern = {"regexp": {"text": "(a?){100}a{100}"}}
    with pytest.raises(BackendTimeout, match=r"longer than 0\.001 seconds"):
        backend.search(ALIAS, {"query": pattern}, timeout=0.001)
    assert state(backend, 0) == (TOGETHER, {1})
    backend.close()


def test_files_of_another_format_are_left_alone(tmp_path: Path) -> None:
    created(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "search.sqlite")
    connection.execute("UPDATE about SET format = 999")
    connection.commit()
    connection.close()
    backend = EmbeddedBackend(str(tmp_path))
    with pytest.raises(BackendUnavailable, match="format 999"):
        backend.indices("*")
    assert not backend.ping()


def test_a_directory_that_can_not_be_had_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    backend = EmbeddedBackend(str(tmp_path / "file"))
    assert not backend.ping()
    with pytest.raises(BackendUnavailable):
        backend.search(ALIAS, {})


def test_a_damaged_file_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "search.sqlite").write_bytes(b"no database at all" * 1000)
    backend = EmbeddedBackend(str(tmp_path))
    with pytest.raises(BackendUnavailable, match="not a database"):
        backend.search(ALIAS, {})
