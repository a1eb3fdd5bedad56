"""Names in models that are names of ours, of every mirror's documents, or of servers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import transaction
from webtest import TestApp

from nefertari_search_tween.indexing.rebuild.rebuild import rebuild
from tests.support.apps import awkward, forget_sessions, search_of
from tests.support.tiers import backend_kind

pytestmark = [pytest.mark.every_backend, pytest.mark.on_servers_too]

SERVER = backend_kind() != "embedded"


@pytest.fixture(scope="module")
def started(
    primary_url: str, backend_url: str, module_prefix: str
) -> Iterator[tuple[TestApp, list[str]]]:
    """The application, and the warnings of its start."""
    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("nefertari_search_tween")
    logger.addHandler(handler)
    try:
        yield awkward(primary_url, backend_url, module_prefix), lines
    finally:
        logger.removeHandler(handler)
        forget_sessions()


@pytest.fixture
def app(started: tuple[TestApp, list[str]]) -> TestApp:
    return started[0]


@pytest.fixture
def warnings(started: tuple[TestApp, list[str]]) -> list[str]:
    return started[1]


def stored(app: TestApp, collection: str) -> list[dict[str, Any]]:
    """What the primary has: by its own answer."""
    transaction.abort()
    return list(app.get(f"/{collection}?_search=false&_sort=id").json["data"])


def mirrored(app: TestApp, collection: str) -> Any:
    answer = app.get(f"/{collection}?_sort=id")
    assert answer.headers["X-Search-Engine"] == "mirror"
    return answer


@pytest.mark.slow
@pytest.mark.parametrize("_", ["first", "second"])
def test_fields_called_secondary_and_primary_are_written_and_mirrored(app: TestApp, _: str) -> None:
    body = {"name": "lamp", "secondary": True, "primary": "red"}
    item = app.post_json("/switches", body).json
    path = f"/switches/{item['_pk']}"
    app.patch_json(path, {"secondary": False, "primary": "blue"})
    row = next(each for each in stored(app, "switches") if each["_pk"] == item["_pk"])
    assert (row["secondary"], row["primary"]) == (False, "blue")
    assert mirrored(app, "switches").json["data"] == stored(app, "switches")
    matches = app.get("/switches?_search=true&primary=blue&secondary=false").json["data"]
    assert row["_pk"] in {each["_pk"] for each in matches}
    app.delete(path)
    assert mirrored(app, "switches").json["data"] == stored(app, "switches")


def test_a_document_of_such_a_model_writes_through_to_the_primary(app: TestApp) -> None:
    from tests.apps.awkward.models import Switch

    key = app.post_json("/switches", {"name": "fan", "secondary": True, "primary": "x"}).json["_pk"]
    document = Switch.get_collection(name="fan", _query_secondary=True)[0]
    assert (document.secondary, document.primary) == (True, "x")
    document.secondary = False
    transaction.commit()
    assert [each["secondary"] for each in stored(app, "switches") if each["_pk"] == key] == [False]
    app.delete(f"/switches/{key}")


def test_members_called_secondary_and_primary_stay(app: TestApp) -> None:
    from tests.apps.awkward.models import Lever

    app.post_json("/levers", {"name": "long"})
    documents = Lever.get_collection(_query_secondary=True)
    assert [(each.secondary, each.primary()) for each in documents] == [
        ("second long", "first long")
    ]
    assert isinstance(vars(Lever)["secondary"], property)


def test_names_that_are_not_free_are_named_at_start(warnings: list[str]) -> None:
    for name in ("Switch", "Lever"):
        for member in ("secondary", "primary"):
            assert f"{name} has its own {member}, which stays" in "\n".join(warnings)


def test_a_free_name_is_used(app: TestApp) -> None:
    from tests.apps.awkward.models import Parcel

    assert Parcel.secondary.primary is Parcel
    assert search_of(app).mirror_class(Parcel) is Parcel.secondary


@pytest.mark.parametrize("collection", ["origins", "journeys"])
def test_a_name_of_every_document_leaves_its_models_out(
    app: TestApp, warnings: list[str], collection: str
) -> None:
    """Also those that would nest it; the primary answers, and loses nothing."""
    item = app.post_json(f"/{collection}", {"name": "Rome"}).json
    answer = app.get(f"/{collection}")
    assert answer.headers["X-Search-Engine"] == "primary; reason=not-mirrored"
    assert [each["_pk"] for each in answer.json["data"]] == [item["_pk"]]
    reason = "has a field called _source, as a member of every mirror is"
    assert f"Origin is not mirrored: it {reason}" in warnings
    assert f"Journey is not mirrored: it relates to Origin, which {reason}" in warnings


@pytest.mark.parametrize(
    ("name", "collection", "says"),
    [("Revision", "revisions", "_version"), ("Wide", "wides", "Limit of total fields")],
)
def test_what_a_server_does_not_take_leaves_one_model_out(
    app: TestApp, warnings: list[str], name: str, collection: str, says: str
) -> None:
    """A field of a name that it has for itself, and more fields than its limit."""
    field = "_version" if name == "Revision" else "text_7"
    value: Any = 7 if name == "Revision" else "seven"
    item = app.post_json(f"/{collection}", {"name": "one", field: value}).json
    app.patch_json(f"/{collection}/{item['_pk']}", {"name": "two"})
    answer = app.get(f"/{collection}")
    assert [(each["name"], each[field]) for each in answer.json["data"]] == [("two", value)]
    engine = answer.headers["X-Search-Engine"]
    line = f"{name} has no mirror, and is read from the primary: "
    logged = [each for each in warnings if each.startswith(line)]
    if not SERVER:
        assert (engine, logged) == ("mirror", [])
        return
    assert engine == "primary; reason=no-index"
    assert len(logged) == 1
    assert says in logged[0]
    # Nothing waits for an index that can't be made, and a rebuild of all builds the others.
    search = search_of(app)
    assert search.outbox.pending_count(name) == 0
    mirrors, locks, outbox = search.mirrors, search.rebuild_locks, search.outbox
    results = rebuild(mirrors, locks, outbox, list(mirrors), 100)
    assert says in str(results[name].problem)
    assert {each for each, result in results.items() if result.problem} == {"Revision", "Wide"}
    assert mirrored(app, "switches").json["data"] == stored(app, "switches")
