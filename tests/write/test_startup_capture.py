"""What an application writes before it is made: Ramses makes its system user so.

Every start is a process of its own, because hooks and models are global to one. The application is
the zoo, with something to do between its tables and its making.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support.apps import backend_and_hosts
from tests.support.paths import TOP

pytestmark = pytest.mark.slow

START = """
import json, sys
import transaction
from pyramid.config import Configurator
from pyramid_sqlalchemy import Session
from webtest import TestApp

settings, code, create = json.loads(sys.argv[1])
config = Configurator(settings=settings)
config.include("nefertari.engine")
config.include("nefertari.elasticsearch")
config.include("tests.apps.every_field.models")
config.include("nefertari")
config.include("nefertari.view")
config.include("nefertari.json_httpexceptions")
config.include("tests.apps.every_field.views")
from nefertari.engine import setup_database
from nefertari_sqla import BaseDocument
from pyramid_sqlalchemy import metadata
from sqlalchemy import engine_from_config
from tests.apps.every_field import models

if create == "ours too":
    setup_database(config)
else:
    # As a migration does it that knows nothing of this package.
    metadata.bind = engine_from_config(config.registry.settings, "sqlalchemy.")
    for table in metadata.sorted_tables:
        if not table.name.startswith("nefertari_search"):
            table.create(metadata.bind, checkfirst=True)

exec(code)

app = TestApp(config.make_wsgi_app())
answers = {}
for name in ("keepers", "items", "visits", "nodes"):
    answer = app.get(f"/{name}?_limit=1000", expect_errors=True)
    primary = app.get(f"/{name}?_limit=1000&_search=false", expect_errors=True)
    assert answer.body == primary.body, (answer.body, primary.body)
    answers[name] = [answer.headers["X-Search-Engine"], answer.json.get("data")]
for name, key in (("items", "id"), ("keepers", "code")):
    answer = app.get(f"/{name}?_search=true&_limit=1000", expect_errors=True)
    data = answer.json.get("data")
    answers[f"searched {name}"] = data and sorted(each[key] for each in data)
from nefertari_search_tween.primary.sqla.outbox.tables import OUTBOX

rows = metadata.bind.execute(OUTBOX.select()).fetchall()
answers["waiting"] = [[row.model, row.pk] for row in rows]
print(json.dumps(answers))
"""
TWEENS = """
    nefertari.tweens.cache_control
    pyramid_tm.tm_tween_factory
    pyramid.tweens.excview_tween_factory
    nefertari_search_tween.tween_factory"""
SEED = """
Session.add(models.Keeper(code="k1", name="Ann"))
Session.add(models.Item(id=1, name="lion", keeper_code="k1"))
Session.add(models.Visit(id=1, guest="Bo", item_id=1))
Session.add(models.Plain(id=1, name="nobody's"))
transaction.commit()
"""


@pytest.fixture
def start(tmp_path, backend_url, index_prefix):
    """Start the application with something to do at its start; gives what it answers then."""
    return starting(tmp_path, backend_url, index_prefix)


def starting(tmp_path, url, index_prefix):
    backend, hosts = backend_and_hosts(url)
    settings = {
        "pyramid.includes": "nefertari_search_tween",
        "nefertari.engine": "nefertari_sqla",
        "sqlalchemy.url": f"sqlite:///{tmp_path}/zoo.sqlite",
        "auth": "false",
        "nefertari_search.backend": backend,
        "elasticsearch.hosts": hosts,
        "elasticsearch.index_name": index_prefix,
    }

    def run(code, create="ours too", **more):
        words = json.dumps([{**settings, **more}, code, create])
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", START, words],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "PYTHONPATH": str(TOP)},
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.mark.every_backend
@pytest.mark.parametrize("create", ["ours too", "not ours"])
def test_the_first_objects_are_there_at_the_first_request(start, create):
    answers = start(SEED, create)

    assert answers["keepers"][0] == answers["items"][0] == answers["visits"][0] == "mirror"
    assert answers["visits"][1][0]["item"]["keeper"]["name"] == "Ann"
    assert answers["keepers"][1][0]["items"] == [1]
    assert answers["searched items"] == [1]
    assert answers["waiting"] == []


def test_the_tween_alone_is_enough(start):
    answers = start(SEED, **{"pyramid.includes": "", "pyramid.tweens": TWEENS})

    assert answers["keepers"][0] == answers["visits"][0] == "mirror"
    assert answers["searched items"] == [1]
    assert answers["waiting"] == []


@pytest.mark.thorough
def test_a_later_start_changes_what_is_shown(start):
    start(SEED)
    answers = start(
        """
Session.query(models.Keeper).one().name = "Cy"
Session.add(models.Keeper(code="k2", name="Di"))
Session.add(models.Node(id=1, name="root"))
Session.flush()
Session.add(models.Item(id=2, name="seal", keeper_code="k2"))
transaction.commit()
"""
    )

    assert answers["visits"][0] == answers["keepers"][0] == answers["nodes"][0] == "mirror"
    assert answers["visits"][1][0]["item"]["keeper"]["name"] == "Cy"
    assert answers["searched items"] == [1, 2]

    answers = start(
        """
Session.query(models.Item).get(1).keeper_code = "k2"
Session.delete(Session.query(models.Item).get(2))
transaction.commit()
Session.query(models.Keeper).filter_by(code="k2").update({"name": "Ed"})
Session.query(models.Node).delete()
from zope.sqlalchemy import mark_changed
mark_changed(Session())
transaction.commit()
"""
    )
    assert answers["visits"][0] == answers["keepers"][0] == answers["nodes"][0] == "mirror"
    assert answers["visits"][1][0]["item"]["keeper"]["name"] == "Ed"
    assert [(each["code"], each["items"]) for each in answers["keepers"][1]] == [
        ("k1", []),
        ("k2", [1]),
    ]
    assert answers["searched items"] == [1]
    assert answers["nodes"][1] == []
    assert answers["waiting"] == []


def test_what_is_rolled_back_at_start_leaves_nothing(start):
    answers = start(SEED.replace("commit", "abort"))

    assert answers["keepers"] == ["mirror", []]
    assert answers["waiting"] == []


@pytest.mark.thorough
def test_objects_that_nobody_recorded_ask_for_a_rebuild(start):
    """An index that is made beside them would hide them."""
    start(
        SEED
        + """
with metadata.bind.begin() as connection:
    connection.execute("DELETE FROM nefertari_search_outbox WHERE model = 'Keeper'")
"""
    )
    answers = start(
        """
Session.add(models.Keeper(code="k2", name="Di"))
transaction.commit()
"""
    )

    assert answers["keepers"][0] == "primary; reason=no-index"
    assert [each["code"] for each in answers["keepers"][1]] == ["k1", "k2"]
    assert answers["searched keepers"] is None
    assert answers["items"][0] == "mirror"


@pytest.mark.thorough
def test_documents_that_an_application_indexes_at_its_start_are_indexed(start):
    answers = start(
        """
from nefertari.elasticsearch import ES

with metadata.bind.begin() as connection:
    connection.execute("INSERT INTO zoo_keepers (code, name) VALUES ('raw', 'Ann')")
    connection.execute("INSERT INTO zoo_items (id, name, keeper_code) VALUES (1, 'lion', 'raw')")
keeper = Session.query(models.Keeper).one()
ES("Keeper").index(keeper.to_dict())
ES.index_relations(keeper)
transaction.commit()
"""
    )

    assert answers["keepers"][0] == answers["items"][0] == "mirror"
    assert answers["searched keepers"] == ["raw"] and answers["searched items"] == [1]


def test_a_backend_that_is_down_at_start_gets_it_later(tmp_path, elasticsearch_url, index_prefix):
    start = starting(tmp_path, elasticsearch_url, index_prefix)
    away = start(SEED, **{"elasticsearch.hosts": "127.0.0.1:9"})
    assert away["keepers"][0].startswith("primary; reason=")
    assert ["Keeper", "k1"] in away["waiting"]

    answers = start("")
    assert answers["keepers"][0] == answers["visits"][0] == "mirror"
    assert answers["searched items"] == [1]
