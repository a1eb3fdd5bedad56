"""Documents with members whose changes can't be followed: the primary answers, and why is shown."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import transaction
from webtest import TestApp

from nefertari_search_tween import changed
from nefertari_search_tween.events import BulkUpdated
from nefertari_search_tween.exceptions import ConfigurationError
from nefertari_search_tween.interfaces.primary import Key
from tests.apps.untracked import INI
from tests.support.apps import (
    backend_and_hosts,
    forget_sessions,
    index_everything,
    search_of,
    untracked,
)
from tests.support.forked import run_python
from tests.support.paths import TOP

pytestmark = [pytest.mark.every_backend, pytest.mark.every_primary]

PRIMARY_ANSWERS, MIRROR_ANSWERS = "primary; reason=untracked", "mirror"
PAGE = (TOP / "docs" / "consistency.rst").read_text(encoding="utf-8")
TRUSTED = {"nefertari_search.trusted_members": "Shelf.labelled"}


@pytest.fixture
def make_app(primary_url: str, backend_url: str, module_prefix: str) -> Iterator[Any]:
    """Make the application with a room, a shelf and a box."""

    def make(**settings: Any) -> TestApp:
        app = untracked(primary_url, backend_url, module_prefix, **settings)
        from pyramid_sqlalchemy import Session

        from tests.apps.untracked.models import Box, Room, Shelf

        with transaction.manager:
            for model in (Box, Shelf, Room):
                Session().query(model).delete(synchronize_session=False)
            Session().add(Room(id=1))
            Session().flush()
            Session().add(Shelf(id=1, room_id=1))
            Session().flush()
            Session().add(Box(id=1, label="A", shelf_id=1))
        index_everything(app)
        return app

    yield make
    forget_sessions()


def labelled(app: TestApp, engine: str) -> list[int]:
    """Return the boxes that the shelf and its room list, read from *engine*."""
    shelves, rooms = app.get("/shelves"), app.get("/rooms")
    assert [each.headers["X-Search-Engine"] for each in (shelves, rooms)] == [engine, engine]
    boxes: list[int] = shelves.json["data"][0]["labelled"]
    assert rooms.json["data"][0]["shelves"][0]["labelled"] == boxes
    return boxes


def test_the_primary_answers_for_what_can_not_be_followed(make_app: Any) -> None:
    app = make_app()
    assert labelled(app, PRIMARY_ANSWERS) == []
    app.patch_json("/boxes/1", {"label": "bolts"})
    assert labelled(app, PRIMARY_ANSWERS) == [1]
    # The others are trusted: they only reference it.
    boxes = app.get("/boxes")
    assert boxes.headers["X-Search-Engine"] == MIRROR_ANSWERS
    assert [each["label"] for each in boxes.json["data"]] == ["bolts"]


def test_searches_are_answered_by_the_mirror(make_app: Any) -> None:
    response = make_app().get("/shelves?_search=true")
    assert response.headers["X-Search-Engine"] == MIRROR_ANSWERS
    assert [each["id"] for each in response.json["data"]] == [1]


def test_reads_in_python_are_answered_by_the_primary(make_app: Any) -> None:
    make_app()
    from tests.apps.untracked.models import Box, Shelf

    Box.get_item(id=1).label = "bolts"
    transaction.commit()
    (shelf,) = Shelf.get_collection(_query_secondary=True)
    assert [box.id for box in shelf.labelled] == [1]


def test_the_start_names_the_member_and_the_cure(
    make_app: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "nefertari_search_tween.runtime"):
        make_app()
    lines = [line for line in caplog.messages if "can't be followed" in line]
    assert [line.split()[2] for line in lines] == ["Room", "Shelf"]
    for line in lines:
        assert ": Shelf.labelled " in line
        assert "nefertari_search_tween.changed" in line
        assert "nefertari_search.trusted_members" in line


def test_a_member_that_the_application_follows_itself(make_app: Any) -> None:
    """The example of docs/consistency.rst."""
    (setting,) = re.findall(r"^ +nefertari_search\.trusted_members = (\S+)$", PAGE, re.MULTILINE)
    app = make_app(**{"nefertari_search.trusted_members": setting})
    from tests.apps.untracked.models import Box, Shelf

    (example,) = re.findall(
        r"^( +from nefertari_search_tween import changed\n.*?)\n\n  \S",
        PAGE,
        re.MULTILINE | re.DOTALL,
    )
    names: dict[str, Any] = {"Shelf": Shelf}
    exec(re.sub(r"(?m)^      ", "", example), names)

    assert labelled(app, MIRROR_ANSWERS) == []
    names["set_label"](Box.get_item(id=1), "bolts")
    transaction.commit()
    index_everything(app)
    assert labelled(app, MIRROR_ANSWERS) == [1]


def test_what_is_reported_is_rolled_back_with_the_transaction(make_app: Any) -> None:
    app = make_app(**TRUSTED)
    from tests.apps.untracked.models import Shelf

    changed(Shelf, [1])
    transaction.abort()
    assert search_of(app).outbox.pending_count() == 0


def test_a_report_is_an_event_and_records_what_nests_the_objects(make_app: Any) -> None:
    app = make_app(**TRUSTED)
    from sqlalchemy.orm import Session

    from tests.apps.untracked.models import Shelf

    events: list[BulkUpdated] = []
    app.app.registry.registerHandler(events.append, (BulkUpdated,))
    session = Session(bind=search_of(app).outbox.engine)
    changed(Shelf, [1], session)
    session.rollback()
    assert [(event.model, event.pks) for event in events] == [(Shelf, (1,))]
    assert events[0].document_keys == {Key("Shelf", 1), Key("Room", 1)}
    changed(Shelf, [])
    assert len(events) == 1
    with pytest.raises(ValueError, match="no mirror shows objects of str"):
        changed(str, [1])


def test_a_trusted_member_that_does_not_exist_stops_the_start(make_app: Any) -> None:
    for member in ("Shelf.label", "Shelve.labelled"):
        with pytest.raises(ConfigurationError, match=f"there is no {member}"):
            make_app(**{"nefertari_search.trusted_members": member})


def test_status_shows_it(
    make_app: Any, primary_url: str, backend_url: str, module_prefix: str, tmp_path: Path
) -> None:
    make_app()
    ini = tmp_path / "untracked.ini"
    ini.write_text(INI)
    backend, hosts = backend_and_hosts(backend_url)
    variables = [
        f"database={primary_url}",
        f"backend={backend}",
        f"elasticsearch_hosts={hosts}",
        f"index_name={module_prefix}",
    ]

    def status(*options: str) -> str:
        command = ("-m", "nefertari_search_tween.scripts.main", "status", ini, *options)
        done = run_python(*command, env={**os.environ, "PYTHONPATH": str(TOP)})
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    rows = json.loads(status(*variables, "--json"))
    assert {name: len(row["untracked"]) for name, row in rows.items()} == {
        "Box": 0,
        "Room": 1,
        "Shelf": 1,
    }
    assert rows["Room"]["untracked"][0].startswith("Shelf.labelled ")
    text = status(*variables)
    assert "\nShelf is read from the primary, untracked: Shelf.labelled " in text
    assert "nefertari_search.trusted_members" in text
    trusted = json.loads(status(*variables, "trusted_members=Shelf.labelled", "--json"))
    assert trusted["Shelf"]["untracked"] == []
