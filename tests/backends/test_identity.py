"""Every index remembers the database that it is made from; another's is neither read nor written.

On every primary (NEFERTARI_SEARCH_TEST_PRIMARY) and every backend: two databases whose
applications have one index name on one server, copies, and databases that went back in time.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import transaction
from webtest import TestApp

from nefertari_search_tween.exceptions import ConfigurationError, ForeignIndex
from nefertari_search_tween.indexing.rebuild import rebuild as rebuilding
from nefertari_search_tween.mirror.serializer import document_id
from tests.servers.base import wait_until
from tests.support import apps
from tests.support.apps import search_of
from tests.support.tiers import primary_kind

pytestmark = [pytest.mark.every_backend, pytest.mark.every_primary, pytest.mark.slow]

#: an index of each model takes a server a second
FEW = {"nefertari_search.models": "Item, Keeper"}
KIND = primary_kind()


class Databases(NamedTuple):
    """How this primary's databases are made, and an application on one.

    :param new: returns a new database.
    :param copy: returns a copy of one.
    :param make_app: database, backend, index prefix, settings -> the application.
    """

    new: Callable[[], Any]
    copy: Callable[[Any], Any]
    make_app: Callable[..., TestApp]


@pytest.fixture
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Databases:
    if KIND == "mongodb":
        return _mongodb(request.getfixturevalue("ferretdb_server"))
    if KIND == "postgresql":
        return _postgresql(request.getfixturevalue("postgres_server"))

    def new() -> str:
        return f"sqlite:///{tmp_path}/{uuid.uuid4().hex}.sqlite"

    def copy(url: str) -> str:
        result = new()
        shutil.copy(url.removeprefix("sqlite:///"), result.removeprefix("sqlite:///"))
        return result

    return Databases(new, copy, apps.zoo)


def _postgresql(server: Any) -> Databases:
    def new() -> str:
        return str(server.create_database(f"test_{uuid.uuid4().hex[:12]}"))

    def copy(url: str) -> str:
        from sqlalchemy import create_engine

        apps.forget_sessions()
        name = f"test_{uuid.uuid4().hex[:12]}"
        engine = create_engine(server.database_url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            source = url.rpartition("/")[2]
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", source
            )
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {source}")
        engine.dispose()
        return str(server.database_url(name))

    return Databases(new, copy, apps.zoo)


def _mongodb(server: Any) -> Databases:
    from tests.support import mongodb

    def new() -> dict[str, str]:
        return dict(server.settings(f"test_{uuid.uuid4().hex[:12]}"))

    def copy(settings: dict[str, str]) -> dict[str, str]:
        from pymongo import MongoClient

        result = new()
        client: Any = MongoClient("127.0.0.1", server.port)
        source, target = (client[each["mongodb.db"]] for each in (settings, result))
        for name in source.list_collection_names():
            rows = list(source[name].find())
            if rows:
                target[name].insert_many(rows)
        client.close()
        return result

    return Databases(new, copy, mongodb.zoo)


class Site:
    """Applications on databases of their own, which share a server and the names of indices."""

    def __init__(self, databases: Databases, url: str, prefix: str) -> None:
        self.databases = databases
        self.url = url
        self.prefix = prefix

    def start(self, database: Any, **settings: str) -> TestApp:
        return self.databases.make_app(database, self.url, self.prefix, **{**FEW, **settings})


@pytest.fixture
def site(databases: Databases, backend_url: str, index_prefix: str) -> Iterator[Site]:
    yield Site(databases, backend_url, index_prefix)
    transaction.abort()


def add(app: TestApp, key: int, name: str) -> None:
    app.post_json("/items", {"id": key, "name": name}, status=201)


def names(app: TestApp) -> list[str]:
    """What the mirror answers; the primary does not take its place."""
    response = app.get("/items?_sort=id")
    assert response.headers["X-Search-Engine"] == "mirror"
    return [each["name"] for each in response.json["data"]]


def meta_of(app: TestApp) -> dict[str, Any]:
    mirror = search_of(app).mirrors.get("Item")
    return dict(mirror.backend.get_mapping(mirror.alias)["_meta"])


def rebuild(app: TestApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "SETTLE_SECONDS", 0)
    search = search_of(app)
    rebuilding.rebuild(
        search.mirrors, search.rebuild_locks, search.outbox, list(search.mirrors), 100
    )


def test_an_index_remembers_its_database(site: Site) -> None:
    app = site.start(site.databases.new())
    identity = search_of(app).identity

    entry = meta_of(app)["database"]
    assert len(identity.identifier) == 32
    assert entry["identifier"] == identity.identifier
    assert entry["address"] == identity.address
    # Another process of the application is at home there.
    add(app, 1, "Lion")
    again = site.start(_database_of(app))
    assert search_of(again).identity.identifier == identity.identifier
    assert names(again) == ["Lion"]


def _database_of(app: TestApp) -> Any:
    settings = app.app.registry.settings
    if KIND == "mongodb":
        return {key: settings[key] for key in settings if key.startswith("mongodb.")}
    return settings["sqlalchemy.url"]


def test_another_database_stops_with_one_line_that_says_both(site: Site) -> None:
    first = site.start(site.databases.new())
    add(first, 1, "Lion")
    before = search_of(first)

    with pytest.raises(ConfigurationError) as stopped:
        site.start(site.databases.new())

    message = str(stopped.value)
    assert "\n" not in message
    assert before.identity.identifier in message
    assert before.identity.address in message
    assert "ours is" in message
    assert f"{site.prefix}-" in message
    assert "nefertari-search adopt" in message
    # Nothing has changed for the first.
    assert names(site.start(_database_of(first))) == ["Lion"]


@pytest.mark.parametrize("schema", ["create", "validate", "none"])
def test_no_setting_of_the_schema_lets_another_in(site: Site, schema: str) -> None:
    site.start(site.databases.new())
    with pytest.raises(ConfigurationError, match="belongs to another database"):
        site.start(site.databases.new(), **{"nefertari_search.schema": schema})


def test_a_database_that_was_deleted_and_made_again_is_another(site: Site) -> None:
    database = site.databases.new()
    first = site.start(database)
    add(first, 1, "Lion")
    _drop_everything(first)

    with pytest.raises(ConfigurationError, match="belongs to another database"):
        site.start(database)


def _drop_everything(app: TestApp) -> None:
    transaction.abort()
    if KIND == "mongodb":
        search = search_of(app)
        search.outbox.collections.database.client.drop_database(
            search.outbox.collections.database.name
        )
        return
    from pyramid_sqlalchemy import Session, metadata

    Session.remove()
    metadata.drop_all()


@pytest.mark.thorough
def test_a_running_application_leaves_an_index_alone_that_became_another_s(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adopted by another one, and rebuilt from its database."""
    monkeypatch.setattr("nefertari_search_tween.indexing.indexer.TARGETS_SECONDS", 0.0)
    app = site.start(site.databases.new())
    add(app, 1, "Lion")
    assert names(app) == ["Lion"]
    search = search_of(app)
    mirror = search.mirrors.get("Item")
    ((index, _),) = search.mirrors.indices_of(mirror).items()
    meta = meta_of(app)
    theirs = {**meta["database"], "identifier": "f" * 32}
    search.backend.put_mapping(index, {"_meta": {**meta, "database": theirs}})

    add(app, 2, "Tiger")

    assert search.outbox.pending_count("Item") == 1
    assert any("belongs to another database" in each for each in caplog.messages)
    response = app.get("/items?_sort=id")
    assert [each["name"] for each in response.json["data"]] == ["Lion", "Tiger"]
    assert response.headers["X-Search-Engine"] in (
        "primary; reason=stale",
        "primary; reason=foreign-index",
    )
    response = app.get("/items?q=lion", status=503)
    assert search.backend.get_realtime(mirror.alias, ["2"])["2"] is None
    # Nor do commands touch it.
    for command in (
        lambda: rebuild(app, monkeypatch),
        lambda: search.mirrors.next_name(mirror),
        search.indexer.drain,
    ):
        with pytest.raises(ForeignIndex):
            command()
    assert list(search.backend.indices(f"{mirror.alias}-*")) == [index]
    search.backend.put_mapping(index, {"_meta": meta})
    assert wait_until(lambda: not search.outbox.pending_count("Item"), 30)
    assert names(app) == ["Lion", "Tiger"]


@pytest.mark.thorough
def test_an_index_of_before_belongs_to_the_first_that_starts(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    database = site.databases.new()
    first = site.start(database)
    add(first, 1, "Lion")
    search = search_of(first)
    for mirror in search.mirrors:
        meta = search.backend.get_mapping(mirror.alias)["_meta"]
        del meta["database"]
        search.backend.put_mapping(f"{mirror.alias}-000001", {"_meta": meta})

    app = site.start(database)

    assert names(app) == ["Lion"]
    assert meta_of(app)["database"]["identifier"] == search_of(app).identity.identifier
    lines = [each for each in caplog.messages if "does not say which database" in each]
    assert len(lines) == len(search.mirrors)
    with pytest.raises(ConfigurationError, match="belongs to another database"):
        site.start(site.databases.new())


def test_a_copy_does_not_write_into_the_index_of_the_original(site: Site) -> None:
    database = site.databases.new()
    original = site.start(database)
    add(original, 1, "Lion")
    identifier = search_of(original).identity.identifier
    # A database is copied while nobody uses it.
    search_of(original).indexer.recovery.stop()
    copy = site.databases.copy(database)

    with pytest.raises(ConfigurationError) as stopped:
        site.start(copy)

    assert "the same identifier at another place" in str(stopped.value)
    assert "nefertari-search new-identity" in str(stopped.value)
    # What that command does:
    from nefertari_search_tween.runtime import adopts

    token = adopts.set(True)
    try:
        runtime = search_of(site.start(copy))
        renewed = runtime.primary.renew_identity()
    finally:
        adopts.reset(token)
    assert renewed.identifier != identifier
    with pytest.raises(ConfigurationError, match="belongs to another database"):
        site.start(copy)
    own = site.databases.make_app(copy, site.url, f"{site.prefix}-staging", **FEW)
    assert search_of(own).identity.identifier == renewed.identifier
    assert names(site.start(database)) == ["Lion"]


@pytest.mark.skipif(KIND != "sqlite", reason="a file that moves is one of SQLite's")
def test_an_embedded_index_that_moves_with_its_database(tmp_path: Path) -> None:
    folder, moved = tmp_path / "a", tmp_path / "b"
    folder.mkdir()
    app = apps.zoo(f"sqlite:///{folder}/zoo.sqlite", f"embedded:{folder}/search", "zoo")
    add(app, 1, "Lion")
    apps.forget_sessions()
    shutil.copytree(folder, moved)

    copy = apps.zoo(f"sqlite:///{moved}/zoo.sqlite", f"embedded:{moved}/search", "zoo")
    assert names(copy) == ["Lion"]
    # And not with the index of the original.
    with pytest.raises(ConfigurationError, match="at another place"):
        apps.zoo(f"sqlite:///{moved}/zoo.sqlite", f"embedded:{folder}/search", "zoo")


# A database that went back in time


def _forget_versions(app: TestApp, version: int) -> None:
    """Set the counters back, as a backup does that is put back."""
    search = search_of(app)
    if KIND == "mongodb":
        rows = search.outbox.collections.versions
        rows.delete_many({})
        rows.insert_one({"_id": f"Item:{version}", "model": "Item", "version": version})
        return
    from nefertari_search_tween.primary.sqla.outbox.tables import VERSIONS

    with search.outbox.engine.begin() as connection:
        connection.execute(VERSIONS.update().values(version=version))


def _forget_row(app: TestApp, key: int) -> None:
    """Delete an object that the backup does not have; nobody sees it."""
    if KIND == "mongodb":
        from tests.apps.every_field_mongo import models

        models.Item._get_collection().delete_one({"_id": key})
        return
    with search_of(app).outbox.engine.begin() as connection:
        connection.execute(f"DELETE FROM zoo_items WHERE id = {key}")


@pytest.mark.thorough
def test_a_database_that_was_restored_from_an_older_backup(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    database = site.databases.new()
    app = site.start(database)
    add(app, 1, "Lion")
    add(app, 2, "made after the backup")
    assert names(app) == ["Lion", "made after the backup"]
    _forget_row(app, 2)
    _forget_versions(app, 5)

    restored = site.start(database)

    lines = [each for each in caplog.messages if "was restored from an older backup" in each]
    assert len(lines) == 1
    assert "the index of Item" in lines[0]
    assert wait_until(lambda: not search_of(restored).outbox.pending_count("Item"), 30)
    assert names(restored) == ["Lion"]
    add(restored, 3, "Tiger")
    assert names(restored) == ["Lion", "Tiger"]
    # Said once.
    caplog.clear()
    site.start(database)
    assert [each for each in caplog.messages if "older backup" in each] == []


def test_a_version_of_the_future_does_not_swallow_writes(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """The backup is put back while the application runs, on a machine whose clock is slow."""
    app = site.start(site.databases.new())
    add(app, 1, "Lion")
    search = search_of(app)
    ahead = search.outbox.next_version("Item") + 10**12
    search.outbox.raise_version("Item", ahead)
    app.patch_json("/items/1", {"name": "from the future"})
    assert names(app) == ["from the future"]
    _forget_versions(app, 5)

    app.patch_json("/items/1", {"name": "Tiger"})

    assert wait_until(lambda: not search.outbox.pending_count("Item"), 30)
    assert names(app) == ["Tiger"]
    assert any("was restored from an older backup" in each for each in caplog.messages)


# Names


def test_names_of_two_applications_that_meet(site: Site) -> None:
    """The same database, two prefixes: ``films`` + ``Old_Thing``-like names meet."""
    database = site.databases.new()
    app = site.start(database)
    search = search_of(app)
    mirror = search.mirrors.get("Item")
    meta = meta_of(app)
    search.backend.put_mapping(f"{mirror.alias}-000001", {"_meta": {**meta, "model": "Old-Item"}})

    with pytest.raises(ConfigurationError) as stopped:
        site.start(database)

    assert "the model Old-Item" in str(stopped.value)
    assert "Item" in str(stopped.value)


@pytest.mark.thorough
@pytest.mark.parametrize("pair", [("Url", "URL"), ("Foo_Bar", "FooBar"), ("ABc", "Abc")])
def test_two_models_with_one_name_of_an_index(site: Site, pair: tuple[str, str]) -> None:
    search = search_of(site.start(site.databases.new()))
    item = search.mirrors.get("Item")
    assert search.mirrors.alias_of(pair[0]) == search.mirrors.alias_of(pair[1])
    models = [type(name, (), {}) for name in pair]
    search.mirrors.add(models[0], item.document_cls, item.reader)

    with pytest.raises(ConfigurationError) as stopped:
        search.mirrors.add(models[1], item.document_cls, item.reader)

    assert all(name in str(stopped.value) for name in pair)
    # The same model again is no other one.
    search.mirrors.add(models[0], item.document_cls, item.reader)


LONG = "z" * 600


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (LONG, document_id(LONG)),
        (document_id(LONG), document_id(document_id(LONG))),
        ("", document_id("")),
        ("sha256:", document_id("sha256:")),
    ],
)
def test_no_two_keys_have_one_id(one: str, other: str) -> None:
    assert one != other
    assert document_id(one) != document_id(other)
    assert 0 < len(document_id(one).encode()) <= 512


@pytest.mark.skipif(KIND == "mongodb", reason="the zoo on MongoDB has no keys that are texts")
def test_a_key_that_is_another_key_s_digest_is_another_document(site: Site) -> None:
    app = site.start(site.databases.new())
    digest = document_id(LONG)
    for code, name in ((LONG, "long"), (digest, "literal")):
        app.post_json("/keepers", {"code": code, "name": name}, status=201)

    response = app.get("/keepers?_sort=name")

    assert response.headers["X-Search-Engine"] == "mirror"
    assert [each["name"] for each in response.json["data"]] == ["literal", "long"]
