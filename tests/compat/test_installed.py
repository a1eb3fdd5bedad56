"""The drop-in is there before anybody imports ``nefertari.elasticsearch``: applications in
processes of their own, as users start them.

The first line of a test's docstring is the row of the table in docs/migrating.rst.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.servers import Pserve
from tests.servers.base import free_port
from tests.support.paths import TOP

pytestmark = pytest.mark.slow

MAIN = """
from pyramid.config import Configurator

def main(global_config, **settings):
    config = Configurator(settings=settings)
    config.include("nefertari.engine")
    config.include("stories.models")
    config.include("nefertari")
    config.include("nefertari.view")
    config.include("nefertari.elasticsearch")
    config.include("nefertari.json_httpexceptions")
    config.include("stories.views")
    from nefertari.engine import setup_database
    setup_database(config)
    from nefertari.elasticsearch import ES
    ES.setup_mappings()
    return config.make_wsgi_app()
"""
MODELS = """
from nefertari import engine as eng

class Story(eng.ESBaseDocument):
    __tablename__ = "stories"
    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()

def includeme(config):
    pass
"""
# As written for nefertari's own search.
VIEWS = """
from nefertari.elasticsearch import ES
from nefertari.view import BaseView
from stories.models import Story

class StoriesView(BaseView):
    Model = Story

    def index(self):
        return self.get_collection_es()

    def show(self, **kwargs):
        return ES("Story").get_item(id=kwargs["id"])

    def create(self):
        return Story(**self._json_params).save(self.request)

class NamesView(BaseView):
    Model = Story
    _default_renderer = "names"

    def index(self):
        return Story.get_collection()

def names(info):
    return lambda stories, system: ",".join(story.name for story in stories)

def includeme(config):
    config.add_renderer("names", names)
    config.get_root_resource().add("name", "names", view=NamesView, id_name="id")
    config.get_root_resource().add("story", "stories", view=StoriesView, id_name="id")
"""
INI = """
[DEFAULT]
http_port = 6543
[app:main]
use = call:stories:main
nefertari.engine = nefertari_sqla
auth = false
sqlalchemy.url = sqlite:///%(here)s/stories.sqlite
elasticsearch.index_name = stories
elasticsearch.index.disable = false
nefertari_search.backend = embedded:%(here)s/search
{lines}
[server:main]
use = egg:waitress#main
host = 127.0.0.1
get port = http_port
"""
INCLUDES = "pyramid.includes = nefertari_search_tween"
TWEENS = """pyramid.tweens =
    pyramid_tm.tm_tween_factory
    pyramid.tweens.excview_tween_factory
    nefertari.tweens.cache_control
    nefertari_search_tween.tween_factory"""
TOP_LEVEL = "from nefertari.elasticsearch import ES\n"
# What production forks did to get the old module past its own import.
FORCED = "import elasticsearch\nelasticsearch.Urllib3HttpConnection = object\n" + TOP_LEVEL


@pytest.fixture
def application(tmp_path):
    """Write the application, and return a pserve of it."""

    def make(lines, first="", use=""):
        package = tmp_path / "stories"
        package.mkdir()
        (package / "__init__.py").write_text(first + MAIN)
        (package / "models.py").write_text(MODELS)
        (package / "views.py").write_text(VIEWS)
        ini = tmp_path / "stories.ini"
        text = INI.format(lines=lines)
        ini.write_text(text.replace("use = call:stories:main", use) if use else text)
        return Pserve(
            ini,
            env={"PYTHONPATH": f"{TOP}{os.pathsep}{tmp_path}", "PYTHONWARNINGS": "ignore"},
        )

    return make


def works(process):
    """It stores, searches and reads documents."""
    story = json.dumps({"name": "The third man"}).encode()
    request = urllib.request.Request(f"{process.url}/stories", data=story)
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 201
    with urllib.request.urlopen(f"{process.url}/stories?name=third") as answer:
        assert answer.headers["X-Search-Engine"] == "mirror"
        assert [each["name"] for each in json.load(answer)["data"]] == ["The third man"]
    with urllib.request.urlopen(f"{process.url}/stories/1") as answer:
        assert json.load(answer)["name"] == "The third man"
    # A caller's choice of a renderer prints no query, and the application's own gets its objects.
    plain = urllib.request.Request(f"{process.url}/names", headers={"Accept": "text/plain"})
    with urllib.request.urlopen(plain) as answer:
        assert [each["name"] for each in json.load(answer)["data"]] == ["The third man"]
    own = urllib.request.Request(f"{process.url}/names", headers={"Accept": "text/html"})
    with urllib.request.urlopen(own) as answer:
        assert answer.read() == b"The third man"


@pytest.mark.parametrize("lines", [INCLUDES, TWEENS, f"{INCLUDES}\n{TWEENS}"], ids=str)
def test_one_line_of_the_ini_file_is_enough(application, lines):
    """``sys.modules`` and attribute"""
    with application(lines) as process:
        works(process)


@pytest.mark.parametrize("lines", [INCLUDES, TWEENS], ids=str)
def test_an_application_that_imports_it_at_its_top(application, lines):
    """``sys.modules`` and attribute"""
    use = (
        "use = call:nefertari_search_tween.app_factory:main\n"
        "nefertari_search.application = call:stories:main"
    )
    with application(lines, first=TOP_LEVEL, use=use) as process:
        works(process)


def failed(process):
    """Return the last line that a start-up prints."""
    done = subprocess.run(
        [sys.executable, "-m", "pyramid.scripts.pserve", str(process.ini_path)],
        env=process.env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("lines", [INCLUDES, TWEENS], ids=str)
def test_if_the_old_module_was_first_the_start_fails_and_says_what_to_do(application, lines):
    """``sys.modules`` and attribute"""
    last = failed(application(lines, first=FORCED))
    assert last.startswith("nefertari_search_tween.exceptions.ConfigurationError: ")
    assert "nefertari.elasticsearch was imported before" in last
    assert "use = egg:nefertari-search-tween" in last


def test_without_the_name_of_the_application(application):
    """``sys.modules`` and attribute"""
    last = failed(application(INCLUDES, use="use = call:nefertari_search_tween.app_factory:main"))
    assert "nefertari_search.application = : it names the application" in last


def test_a_start_while_the_server_is_down(application):
    """start without a server"""
    process = application(INCLUDES)
    ini = Path(process.ini_path)
    port = free_port()
    text = ini.read_text().replace(
        "nefertari_search.backend = embedded:%(here)s/search",
        f"elasticsearch.hosts = 127.0.0.1:{port}",
    )
    ini.write_text(text)
    with process:
        assert "search server does not answer" in process.log
        story = json.dumps({"name": "The third man"}).encode()
        request = urllib.request.Request(f"{process.url}/stories", data=story)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 201
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{process.url}/stories?name=third")
        assert caught.value.code == 503
        assert caught.value.headers["Retry-After"]
        with urllib.request.urlopen(f"{process.url}/stories?_search=false") as answer:
            assert [each["name"] for each in json.load(answer)["data"]] == ["The third man"]
