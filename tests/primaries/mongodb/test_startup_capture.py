"""What an application on MongoDB writes before it is made: Ramses makes its system user so.

Every start is a process of its own, because hooks and models are global to one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid

import pytest

from tests.support.paths import TOP

pytestmark = pytest.mark.mongodb

START = """
import json, os, sys
from pyramid.config import Configurator
from webtest import TestApp

settings, code = json.loads(sys.argv[1])
config = Configurator(settings=settings)
config.include("nefertari.engine")
config.include("nefertari.elasticsearch")
config.include("tests.apps.every_field_mongo")
from nefertari.engine import setup_database
from tests.apps.every_field_mongo import models

setup_database(config)
exec(code)

app = TestApp(config.make_wsgi_app())
answers = {}
for name in ("keepers", "items"):
    answer = app.get(f"/{name}?_limit=1000")
    primary = app.get(f"/{name}?_limit=1000&_search=false")
    assert answer.body == primary.body, (answer.body, primary.body)
    answers[name] = [answer.headers["X-Search-Engine"], answer.json["data"]]
    data = app.get(f"/{name}?_search=true&_limit=1000", expect_errors=True).json.get("data")
    answers[f"searched {name}"] = data and sorted(each["name"] for each in data)
answers["waiting"] = app.app.registry.nefertari_search.outbox.pending_count()
print(json.dumps(answers))
"""
TWEENS = """
    nefertari.tweens.cache_control
    pyramid.tweens.excview_tween_factory
    nefertari_search_tween.tween_factory"""
SEED = """
item = models.Item(name="lion").save()
models.Keeper(code="k1", name="Ann", items=[item]).save()
models.Label(text="nobody's").save()
"""
CHANGE = """
keeper = models.Keeper.objects.get()
keeper.update({"name": "Cy"})
models.Item.objects(name="lion").update(name="tiger")
models.Item(name="seal").save()
"""


@pytest.fixture
def start(request, ferretdb_server, tmp_path):
    """Start the application with something to do at its start; gives what it answers then."""
    settings = {
        "pyramid.includes": "nefertari_search_tween",
        "nefertari.engine": "nefertari_mongodb",
        "auth": "false",
        "nefertari_search.backend": f"embedded:{tmp_path}/search",
        "elasticsearch.index_name": "early",
        **ferretdb_server.settings(f"test_{uuid.uuid4().hex[:12]}"),
    }

    def run(code, **more):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", START, json.dumps([{**settings, **more}, code])],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "PYTHONPATH": str(TOP)},
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1]) if done.stdout else None

    return run


def test_the_first_objects_are_there_at_the_first_request_and_later_changes_too(start):
    answers = start(SEED)
    assert answers["keepers"][0] == answers["items"][0] == "mirror"
    assert answers["items"][1][0]["keeper"]["name"] == "Ann"
    assert answers["searched items"] == ["lion"] and answers["searched keepers"] == ["Ann"]
    assert answers["waiting"] == 0

    answers = start(CHANGE)
    assert answers["keepers"][0] == answers["items"][0] == "mirror"
    keepers = {
        each["name"]: each["keeper"] and each["keeper"]["name"] for each in answers["items"][1]
    }
    assert keepers == {"tiger": "Cy", "seal": None}
    assert answers["searched items"] == ["seal", "tiger"] and answers["searched keepers"] == ["Cy"]
    assert answers["waiting"] == 0


def test_the_tween_alone_is_enough(start):
    answers = start(SEED, **{"pyramid.includes": "", "pyramid.tweens": TWEENS})
    assert answers["keepers"][0] == answers["items"][0] == "mirror"
    # Its key is the one that its model names, and is shown.
    assert answers["items"][1][0]["id"] == answers["items"][1][0]["_pk"]
    assert answers["searched items"] == ["lion"]
    assert answers["waiting"] == 0


def test_a_start_that_is_killed_leaves_it_for_the_next(start):
    assert start(f"{SEED}\nos._exit(0)") is None
    answers = start("")
    assert answers["keepers"][0] == answers["items"][0] == "mirror"
    assert answers["searched items"] == ["lion"] and answers["searched keepers"] == ["Ann"]
    assert answers["waiting"] == 0


def test_objects_that_nobody_recorded_ask_for_a_rebuild(start):
    """An index that is made beside them would hide them."""
    hidden = "models.Keeper._get_collection().insert_one({'_id': 'raw', 'name': 'Di'})"
    answers = start(f"{SEED}\n{hidden}")
    assert answers["keepers"][0] == "primary; reason=no-index"
    assert [each["name"] for each in answers["keepers"][1]] == ["Ann", "Di"]
    assert answers["searched keepers"] is None
    assert answers["items"][0] == "mirror"
