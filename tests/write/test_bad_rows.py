"""One bad row or key never holds up another: it is a dead letter, and a stub replaces it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import transaction
from webtest import TestApp

from nefertari_search_tween.indexing.rebuild.missing import index_missing
from nefertari_search_tween.indexing.rebuild.rebuild import rebuild
from nefertari_search_tween.indexing.verify.repair import repair
from nefertari_search_tween.indexing.verify.verify import Differences, verify
from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.primary import read_limit
from tests.support.apps import awkward, forget_sessions, search_of

pytestmark = [pytest.mark.every_backend, pytest.mark.every_primary, pytest.mark.on_servers_too]

#: keys that a server takes as they are, or refuses, or might mistake for others
KEYS = [
    "",
    " ",
    ".",
    "_",
    "a/b?c#d",
    '"',
    "\\",
    "\t",
    "\n",
    "\r\n",
    "\x01\x02\x1f\x7f",
    "\u2028",
    "\ufeff",
    "\U00010330",
    "k" * 512,
    "k" * 513,
    "ü" * 300,
    "sha256:x",
]


@pytest.fixture(scope="module")
def app(primary_url: str, backend_url: str, module_prefix: str) -> Iterator[TestApp]:
    yield awkward(
        primary_url, backend_url, module_prefix, **{"nefertari_search.models": "Parcel,Switch"}
    )
    forget_sessions()


@pytest.fixture(autouse=True)
def empty(app: TestApp) -> Iterator[None]:
    yield
    search = search_of(app)
    _execute(app, "DELETE FROM awkward_parcels")
    search.outbox.enqueue_model("Parcel")
    search.indexer.drain()
    search.outbox.drop(letter.key for letter in search.outbox.dead_letters())
    rebuild_parcels(app)


def _execute(app: TestApp, statement: str, *values: Any) -> None:
    engine = search_of(app).outbox.engine
    mark = "%s" if engine.dialect.name == "postgresql" else "?"
    with engine.begin() as connection:
        connection.execute(statement.replace("?", mark), *values)


def rebuild_parcels(app: TestApp) -> Any:
    search = search_of(app)
    mirror, size = search.mirrors.get("Parcel"), search.settings.chunk_size
    return rebuild(search.mirrors, search.rebuild_locks, search.outbox, [mirror], size)["Parcel"]


def differences(app: TestApp) -> Differences:
    search = search_of(app)
    mirror = search.mirrors.get("Parcel")
    return verify(search.mirrors, search.outbox, mirror, search.settings.chunk_size)


def transparent(app: TestApp, query: str = "") -> Any:
    """The same from both, whoever answers."""
    answer = app.get(f"/parcels?_sort=code&_limit=1000{query}")
    primary = app.get(f"/parcels?_sort=code&_limit=1000{query}&_search=false")
    assert answer.json["data"] == primary.json["data"]
    return answer


# Keys


def test_any_text_is_a_key(app: TestApp) -> None:
    """Of a document that is written, found by it, and deleted."""
    from tests.apps.awkward.models import Parcel

    for key in KEYS:
        with transaction.manager:
            Parcel(code=key, name="one").save()
    search = search_of(app)
    assert search.outbox.pending_count() == 0
    assert search.outbox.dead_letters() == []
    answer = transparent(app)
    assert answer.headers["X-Search-Engine"] == "mirror"
    assert {each["code"] for each in answer.json["data"]} == set(KEYS)
    assert differences(app).clean
    assert rebuild_parcels(app).errors == {}
    assert differences(app).clean
    with transaction.manager:
        for each in Parcel.get_collection(_query_secondary=False):
            each.delete()
    assert transparent(app).json["data"] == []
    assert differences(app).clean


# Rows that can't be read


@pytest.fixture
def broken(app: TestApp) -> list[str]:
    """Twenty parcels, of which two can't be unpickled: written past every hook."""
    from tests.apps.awkward.models import Parcel

    with transaction.manager:
        for number in range(20):
            Parcel(code=f"p{number:02}", name="one", content=[number]).save()
    for key in ("p03", "p17"):
        _execute(app, "UPDATE awkward_parcels SET content = ? WHERE code = ?", (b"\x80junk", key))
    return ["p03", "p17"]


def assert_letters(app: TestApp, keys: list[str]) -> None:
    letters = search_of(app).outbox.dead_letters()
    assert sorted(each.key.pk for each in letters) == keys
    assert all("unpickl" in each.error.lower() or "pickle" in each.error for each in letters)


def searched(app: TestApp) -> list[str]:
    answer = app.get("/parcels?_search=true&name=one&_limit=1000&_fields=code")
    return sorted(each["code"] for each in answer.json["data"])


def others(broken: list[str]) -> list[str]:
    return [key for key in (f"p{number:02}" for number in range(20)) if key not in broken]


@pytest.mark.slow
def test_a_row_that_can_t_be_unpickled_is_a_stub_after_a_rebuild(
    app: TestApp, broken: list[str]
) -> None:
    result = rebuild_parcels(app)
    assert (result.indexed, result.problem) == (20, None)
    assert searched(app) == others(broken)
    result = differences(app)
    assert (result.compared, result.rejected, result.missing, result.stale) == (20, broken, [], [])


@pytest.mark.slow
def test_a_drain_makes_dead_letters_of_such_rows(app: TestApp, broken: list[str]) -> None:
    search = search_of(app)
    search.outbox.enqueue(Key("Parcel", f"p{number:02}") for number in range(20))
    assert search.indexer.drain() == 20
    assert search.outbox.pending_count() == 0
    assert_letters(app, broken)
    assert searched(app) == others(broken)


@pytest.mark.slow
def test_verify_and_repair_find_them_among_the_others(app: TestApp, broken: list[str]) -> None:
    search = search_of(app)
    _execute(app, "UPDATE awkward_parcels SET name = 'two' WHERE code = 'p05'")
    result = differences(app)
    # Their documents are of before.
    assert sorted(result.stale) == ["p03", "p05", "p17"]
    remaining = repair(search.indexer, search.mirrors.get("Parcel"), result)
    assert (sorted(remaining.rejected), remaining.stale) == (broken, [])
    assert_letters(app, broken)
    _execute(app, "UPDATE awkward_parcels SET content = NULL")
    assert repair(search.indexer, search.mirrors.get("Parcel"), differences(app)).clean
    assert search.outbox.dead_letters() == []


@pytest.mark.slow
def test_index_goes_on_behind_them(app: TestApp, broken: list[str]) -> None:
    search = search_of(app)
    mirror = search.mirrors.get("Parcel")
    for target in search.indexer.write_targets(mirror):
        from nefertari_search_tween.backends.base import BulkAction

        version = search.outbox.next_version("Parcel")
        deletes = [BulkAction(target, key, version, None) for key in ("p02", "p03", "p18")]
        assert all(item.indexed for item in mirror.backend.bulk(deletes, 10))
    index_missing(
        search.mirrors, mirror, search.settings.chunk_size, search.outbox, search.rebuild_locks
    )
    # p17 has its document of before.
    assert searched(app) == [f"p{number:02}" for number in range(20) if number != 3]


@pytest.mark.slow
def test_a_key_that_the_database_can_t_compare_is_that_of_no_row(app: TestApp) -> None:
    """Written by hand, or a document of another program: it is deleted, and delays nothing."""
    search = search_of(app)
    item = app.post_json("/switches", {"name": "lamp"}).json
    reader = search.mirrors.get("Switch").reader
    keys = ["seven", 2**40, int(item["_pk"])]
    assert [key for part in reader.split(keys, 10) for key in part] == keys
    assert list(reader.read(keys)) == [int(item["_pk"])]
    assert reader.existing(keys) == {int(item["_pk"])}
    search.outbox.enqueue(Key("Switch", key) for key in keys)
    assert search.indexer.drain() == 3
    assert search.outbox.pending_count() == 0
    app.delete(f"/switches/{item['_pk']}")


# Chunks by bytes


@pytest.mark.slow
def test_chunks_have_a_number_of_bytes(app: TestApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the sizes of the rows before, in scans and in reads."""
    from tests.apps.awkward.models import Parcel

    monkeypatch.setattr(read_limit, "MAX_READ_BYTES", 100_000)
    sizes = [10] * 30 + [60_000] * 4 + [10] * 5 + [500_000] + [10] * 20
    search = search_of(app)
    with transaction.manager:
        for number, size in enumerate(sizes):
            Parcel(code=f"p{number:02}", content="x" * size).save()
    keys = [f"p{number:02}" for number in range(len(sizes))]
    mirror = search.mirrors.get("Parcel")
    scans = {
        "scan": list(mirror.reader.scan(500)),
        "objects": list(mirror.reader.scan_objects(500)),
        "split": [
            list(mirror.reader.read(part).items()) for part in mirror.reader.split(keys, 500)
        ],
    }
    for name, parts in scans.items():
        assert sorted(pk for part in parts for pk, _ in part) == keys, name
        for part in parts:
            assert len(part) == 1 or sum(len(body) for _, body in part) < 130_000, name
        assert len(parts) < 20, name
    bulks: list[int] = []
    original = mirror.backend.bulk

    def bulk(actions: Any, *rest: Any) -> Any:
        batch = list(actions)
        bulks.append(sum(len(each.body or b"") for each in batch))
        return original(batch, *rest)

    monkeypatch.setattr(mirror.backend, "bulk", bulk)
    search.outbox.enqueue(Key("Parcel", key) for key in keys)
    assert search.indexer.drain() == len(keys)
    assert rebuild_parcels(app).indexed == len(keys)
    assert max(each for each in bulks if each < 400_000) < 130_000
    assert differences(app).clean


# verify


@pytest.mark.slow
def test_what_the_reader_does_wrong_is_a_difference(
    app: TestApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The indexer's reader skips a row, and renders another wrongly: so are the documents."""
    from tests.apps.awkward.models import Parcel

    search = search_of(app)
    reader = search.mirrors.get("Parcel").reader
    with transaction.manager:
        for number in range(10):
            Parcel(code=f"p{number:02}", name="one").save()
    original = reader._bodies

    def defective(session: Any, narrow: Any) -> Any:
        bodies = original(session, narrow)
        bodies.pop("p03", None)
        if "p05" in bodies:
            wrong = {**json.loads(bodies["p05"]), "name": "another"}
            bodies["p05"] = json.dumps(wrong).encode()
        return bodies

    monkeypatch.setattr(reader, "_bodies", defective)
    rebuild_parcels(app)
    result = differences(app)
    assert (result.missing, result.stale) == (["p03"], ["p05"])
