"""The example application: it does not mention the package, and each switch suffices.

Every start is a process of its own: an engine, its models and the drop-in are global
to a process.
"""

import ast
import json
import re
import subprocess
import sys

import pytest
from pyramid.paster import get_appsettings

from tests.support.apps import backend_and_hosts
from tests.support.paths import TOP
from tests.support.tiers import mostly_long

FILMS = TOP / "examples" / "films"

INCLUDES = "pyramid.includes = nefertari_search_tween"
TWEENS = """pyramid.tweens =
    nefertari.tweens.cache_control
    pyramid_tm.tm_tween_factory
    pyramid.tweens.excview_tween_factory
    nefertari_search_tween.tween_factory"""
SWITCHES = {"includes": INCLUDES, "tweens": TWEENS, "both": f"{INCLUDES}\n{TWEENS}"}

REQUESTS = """
import json, sys
from pyramid.paster import get_app
from webtest import TestApp

app = TestApp(get_app(sys.argv[1]))

def look(response):
    return {
        "status": response.status_int,
        "engine": response.headers.get("X-Search-Engine"),
        "body": response.json,
    }

created = app.post_json("/films", {
    "title": "Our holiday", "year": 2026, "released": "2026-08-01",
    "updated": "2026-08-02T10:00:00Z", "genres": [5], "director": 7437,
})
item = created.json["_self"]
answers = {
    "films": look(app.get("/films?_sort=id&_limit=2")),
    "created": look(app.get(item)),
    "changed": look(app.patch_json(item, {"released": "2026-09-01T00:00:00Z"})),
    "refused": look(app.patch_json(item, {"released": "soon"}, status=400)),
    "nested": look(app.get("/people/7437/films?year=2026")),
}
app.delete(item)
answers["deleted"] = look(app.get("/people/7437/films?year=2026"))
print(json.dumps(answers))
"""


def run(*command):
    """The output of a command, which must succeed."""
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def write_ini(tmp_path):
    """A function that writes development.ini with another switch, returns its path."""

    def write(switch, **defaults):
        text = (TOP / "development.ini").read_text()
        assert text.count(INCLUDES) == 1
        text = text.replace(INCLUDES, switch)
        defaults["database"] = tmp_path / "films.sqlite"
        for name, value in defaults.items():
            text, count = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
            assert count == 1, name
        ini = tmp_path / "films.ini"
        ini.write_text(text)
        return ini

    return write


def test_no_file_of_the_application_imports_the_package():
    files = sorted(FILMS.rglob("*.py"))
    assert len(files) > 5
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            else:
                continue
            assert not any("search" in name for name in names), (file, names)


def test_the_command_line_wins_over_the_ini_file():
    options = {
        "database": "/tmp/other.sqlite",
        "elasticsearch_hosts": "127.0.0.1:9999",
        "index_name": "other",
    }
    settings = get_appsettings(str(TOP / "development.ini"), options=options)
    assert settings["sqlalchemy.url"] == "/tmp/other.sqlite"
    assert settings["elasticsearch.hosts"] == "127.0.0.1:9999"
    assert settings["elasticsearch.index_name"] == "other"

    settings = get_appsettings(str(TOP / "development.ini"))
    assert settings["sqlalchemy.url"] == str(TOP / "films.sqlite")


@pytest.mark.slow
def test_load_needs_no_search_server_and_loads_once(write_ini):
    ini = write_ini("pyramid.includes =")
    first = run("-m", "films.load", ini)
    assert "17,472 films, 7,566 people, 21 genres, 136 countries" in first
    assert "17,472 films are there already" in run("-m", "films.load", ini)


@pytest.mark.thorough
@pytest.mark.parametrize("switch", mostly_long(SWITCHES, 3))
def test_each_switch_suffices(switch, write_ini, backend_url, index_prefix):
    backend, hosts = backend_and_hosts(backend_url)
    plain = write_ini("pyramid.includes =")
    run("-m", "films.load", plain)
    ini = write_ini(
        SWITCHES[switch], backend=backend, elasticsearch_hosts=hosts, index_name=index_prefix
    )
    answers = json.loads(run("-c", REQUESTS, ini))

    films = answers["films"]
    assert films["engine"]
    assert [film["id"] for film in films["body"]["data"]] == [372, 593]
    assert films["body"]["total"] == 17473

    created = answers["created"]["body"]
    assert created["released"] == "2026-08-01T00:00:00Z"
    assert created["updated"] == "2026-08-02T10:00:00Z"
    assert [genre["name"] for genre in created["genres"]] == ["Comedy"]
    assert created["director"]["name"] == "Woody Allen"

    assert answers["changed"]["body"]["released"] == "2026-09-01T00:00:00Z"
    assert answers["refused"]["body"]["message"] == "Bad or missing value 'soon'"

    assert answers["nested"]["engine"]
    assert [film["title"] for film in answers["nested"]["body"]["data"]] == ["Our holiday"]
    assert answers["deleted"]["body"]["total"] == 0
