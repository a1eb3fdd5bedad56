"""Where answers are kept: bounded, shared or not, lost, and told of."""

from __future__ import annotations

import json
import logging
import re
import signal
import subprocess
import sys
import time
import urllib.request
import uuid

import pytest
import transaction

from nefertari_search_tween.settings.settings import Settings
from tests.apps.engine_relationships import INI as SHELVES
from tests.apps.every_field.content import fill_zoo
from tests.apps.item_acls import INI as GUARDED
from tests.apps.multi_collection.objects import fill as fill_museum
from tests.compat.test_guards import Library
from tests.servers import free_port
from tests.servers.base import wait_until
from tests.support import apps
from tests.support.apps import search_of
from tests.support.caching import answer_of, cache_of, figures, plain, second_is_kept
from tests.support.processes import PROGRAM, SOON, TOP, Place

ALL = "paintings,painters,vases"
MUSEUM_PATHS = [
    f"/{ALL}?q=krater&_limit=10",
    f"/{ALL}?q=night&_count",
    f"/{ALL}?_limit=7&_sort=-worth",
    f"/{ALL}?_limit=0",
    f"/{ALL}?_aggs.types.terms.field=_type&_aggs.most.max.field=worth",
]


@pytest.fixture
def museum(cache_place, tmp_path, backend_url, module_prefix):
    name = "redis" if cache_place != "memory" else cache_place
    app = apps.museum(
        f"sqlite:///{tmp_path / 'museum.sqlite'}",
        backend_url,
        f"{module_prefix}-museum-{name}",
        **{"nefertari_search.cache": cache_place},
    )
    fill_museum()
    transaction.commit()
    yield app
    apps.forget_sessions()


def test_several_collections(museum):
    from pyramid_sqlalchemy import Session

    from tests.apps.multi_collection.models import Painter, Vase

    for path in MUSEUM_PATHS:
        second_is_kept(museum, path)
    # Each change is of one of them.
    for number in range(4):
        if number % 2:
            Session().add(Painter(name=f"krater night {number}", worth=50 + number))
        else:
            Session().add(Vase(code=f"x{number}", name=f"krater night {number}", worth=number))
        transaction.commit()
        for path in MUSEUM_PATHS:
            was = answer_of(museum, path)
            assert was == plain(museum, path)
            if "_limit=0" not in path or number:
                assert was == answer_of(museum, path)


# Size, figures


@pytest.mark.thorough
def test_the_memory_of_a_process_is_bounded(tmp_path, backend_url, module_prefix):
    small = {"nefertari_search.cache": "memory", "nefertari_search.cache_megabytes": "1"}
    file = tmp_path / "zoo.sqlite"
    app = apps.zoo(f"sqlite:///{file}", backend_url, f"{module_prefix}-small", **small)
    fill_zoo(60)
    cache = cache_of(app).region.region.backend._cache
    most = 0
    # Each answer is large: long stories are in it.
    for number in range(1, 151):
        app.get(f"/items?q=lion OR {'x' * number}&_limit=60")
        most = max(most, cache.size)
    assert 900_000 < most <= 1024 * 1024
    assert figures(app) == (0, 150)
    # What was asked last is there, what was asked first is not.
    app.get(f"/items?q=lion OR {'x' * 150}&_limit=60")
    assert figures(app) == (1, 150)
    app.get("/items?q=lion OR x&_limit=60")
    assert figures(app) == (1, 151)
    apps.forget_sessions()


# Processes of their own


@pytest.fixture
def deployment(cache_place, tmp_path, elasticsearch_url):
    """The zoo as its users run it."""
    database = f"sqlite:///{tmp_path / 'zoo.sqlite'}"
    return Place(tmp_path, database, elasticsearch_url, sync="inline", cache=cache_place)


def call(web, path, method="GET", body=None):
    """Who answered, and what."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{web.url}{path}", data, headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.headers["X-Search-Engine"], json.load(answer)


def test_a_process_sees_what_another_wrote(deployment):
    paths = ("/keepers?_limit=5", "/keepers?q=ann&_limit=5", "/keepers?_search=true&_limit=5")
    with deployment.web() as one, deployment.web() as other:
        call(one, "/keepers", "POST", {"code": "a", "name": "Ann"})
        name = "Ann"
        for number in range(20):
            for path in paths:
                for web in (one, other, other):
                    engine, answer = call(web, path)
                    assert (engine, answer["data"][0]["name"]) == ("mirror", name)
            name = f"Ann {number}"
            call(other, "/keepers/a", "PATCH", {"name": name})
        # What they found, commands and workers tell: of three reads, each process makes one or
        # two; with a place of its own it is the one who asks first, too.
        alone = deployment.variables["cache"] == "memory"
        assert wait_until(lambda: hit_percent(deployment) == (33.3 if alone else 66.7), SOON)
        with deployment.worker("--metrics-port", str(port := free_port())):
            url = f"http://127.0.0.1:{port}/metrics"
            with urllib.request.urlopen(url, timeout=10) as answer:
                lines = answer.read().decode().splitlines()
    sums = {}
    for name in ("hits", "misses"):
        start = f'nefertari_search_cache_{name}_total{{model="Keeper",process="'
        counts = [float(line.split()[-1]) for line in lines if line.startswith(start)]
        assert len(counts) == 2, lines
        sums[name] = sum(counts)
    assert sums == ({"hits": 60, "misses": 120} if alone else {"hits": 120, "misses": 60})


def hit_percent(deployment):
    """The part of kept answers that `status` tells of, in percent."""
    done = deployment.run("status", "--json")
    return json.loads(done.stdout)["Keeper"]["cache_hit_percent"]


@pytest.mark.thorough
def test_status_without_a_cache(tmp_path, elasticsearch_url):
    database = f"sqlite:///{tmp_path / 'zoo.sqlite'}"
    deployment = Place(tmp_path, database, elasticsearch_url, sync="inline")
    assert hit_percent(deployment) is None


@pytest.fixture
def own_redis(redis_server):
    """A Redis that may be hurt."""
    server = type(redis_server)()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def on_own_redis(own_redis, tmp_path, backend_url):
    app = apps.zoo(
        f"sqlite:///{tmp_path / 'zoo.sqlite'}",
        backend_url,
        f"test-{uuid.uuid4().hex[:12]}",
        **{"nefertari_search.cache": own_redis.url},
    )
    fill_zoo(60)
    app.get("/items?q=lion")
    yield app
    apps.forget_sessions()


def test_a_redis_that_is_lost_and_comes_back(own_redis, on_own_redis, caplog):
    app = on_own_redis
    app.get("/items?q=lion")
    assert figures(app) == (1, 1)
    own_redis.kill()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert app.get("/items?q=lion").headers["X-Search-Engine"] == "mirror"
    # Reads do not wait for it one after the other.
    warnings = [each for each in caplog.messages if "the cache can't be reached" in each]
    assert len(warnings) == 1, caplog.messages
    assert figures(app) == (1, 4)
    own_redis.restart()

    def has_hits():
        app.get("/items?q=lion")
        return figures(app)[0] > 1

    assert wait_until(has_hits, SOON)


@pytest.mark.thorough
def test_a_redis_that_hangs_holds_nobody_up_for_long(own_redis, on_own_redis):
    own_redis.kill(signal.SIGSTOP)
    for _ in range(3):
        assert on_own_redis.get("/items?q=lion").headers["X-Search-Engine"] == "mirror"
    assert figures(on_own_redis) == (0, 4)
    own_redis.kill(signal.SIGCONT)


@pytest.mark.thorough
def test_eventual_reads_ask_the_database_once_a_second(tmp_path, backend_url, module_prefix):
    app = apps.zoo(
        f"sqlite:///{tmp_path / 'zoo.sqlite'}",
        backend_url,
        f"{module_prefix}-eventual",
        **{"nefertari_search.cache": "memory", "nefertari_search.consistency": "eventual"},
    )
    fill_zoo(60)
    states = []
    pending = search_of(app).searcher.consistency.pending
    sync_state = pending.sync_state
    pending.sync_state = lambda name: states.append(name) or sync_state(name)
    path = "/keepers?_search=true&_sort=name&_limit=1"

    def first():
        return app.get(path).json["data"][0]["name"]

    assert wait_until(lambda: first() == "Keeper B", SOON)
    states.clear()
    began = time.monotonic()
    reads = 0
    while time.monotonic() - began < 1.5:
        first()
        reads += 1
    assert reads > 2 * len(states) > 0
    # And it is not kept for longer than that.
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field.models import Keeper

    Session().query(Keeper).get("a").name = "AAA"
    transaction.commit()
    assert wait_until(lambda: first() == "AAA", SOON)
    apps.forget_sessions()


# Whose answers they are


PATHS = (
    "/stories?_limit=50",
    "/stories?q=lion&_limit=50",
    "/stories?_search=true&_count",
    "/stories?_aggs.titles.terms.field=title",
    "/authors,stories?q=ann+OR+red&_limit=50",
    "/authors?_limit=50",
)


CALLERS = ("", "ann", "bob,g:press", "root,g:admin")


def acl(*principals):
    return [
        {"action": "allow", "principal": each, "permission": "view"}
        for each in (*principals, "g:admin")
    ]


STORIES = [
    acl("everyone"),
    acl("ann"),
    acl("bob"),
    acl("g:press"),
    acl("authenticated"),
    acl(),
]
AUTHORS = [acl("everyone", "bob"), acl("ann", "g:press")]


@pytest.mark.slow
def test_no_caller_is_given_what_another_may_see(cache_place, tmp_path, backend_url, module_prefix):
    """Each question is asked by everybody, twice: of an application with a cache, then of the
    same without one."""
    ini = GUARDED.replace("[app:main]", "[app:main]\nget nefertari_search.cache = cache", 1)
    ini = ini.replace("[DEFAULT]", "[DEFAULT]\ncache =", 1)
    prefix = f"{module_prefix}-guarded-{'memory' if cache_place == 'memory' else 'redis'}"
    library = Library(tmp_path, backend_url, prefix, ini)
    try:
        answers = []
        for cache in (cache_place, ""):
            library.start(cache=cache)
            if cache:
                library.fill()
                library.allow(STORIES, AUTHORS)
            answers.append(answers_of(library))
    finally:
        library.stop()
    assert answers[0] == answers[1]
    for path in PATHS:
        bodies = {answers[0][path, caller, 0][2] for caller in CALLERS}
        assert len(bodies) == len(CALLERS), path


def answers_of(library):
    """(path, caller, time) -> the answer."""
    return {
        (path, caller, number): library.get(path, caller).lasting
        for path in PATHS
        for number in range(2)
        for caller in CALLERS
    }


# The page


PAGE = (TOP / "docs" / "caching.rst").read_text(encoding="utf-8")


def test_the_settings_of_the_page_are_good():
    block = re.search(r"code-block:: ini\n\n((?:    .*\n)+)", PAGE)[1]
    lines = dict(line.strip().split(" = ") for line in block.splitlines())
    assert set(lines) == {f"nefertari_search.cache{end}" for end in ("", "_megabytes", "_ttl")}
    for cache in ("memory", "redis://127.0.0.1:6379/0"):
        assert f"nefertari_search.cache = {cache}" in PAGE
        settings = Settings({**lines, "nefertari_search.cache": cache}, "zoo")
        assert (settings.cache, settings.cache_megabytes, settings.cache_ttl) == (cache, 64, 300)


def test_a_cache_without_its_packages(tmp_path):
    code = (
        "import sys; sys.modules['dogpile'] = None\n"
        "from nefertari_search_tween.caching.region import make_region\n"
        "make_region('memory', 1, 1)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "pip install 'nefertari-search-tween[cache]'" in done.stderr.splitlines()[-1]


def test_an_application_on_the_engine_alone_does_not_start_with_it(tmp_path):
    ini = tmp_path / "shelves.ini"
    ini.write_text(SHELVES.replace("[app:main]\n", "[app:main]\nnefertari_search.cache = memory\n"))
    words = ["mapping", str(ini), f"backend=embedded:{tmp_path}/data", "index_name=shelves"]
    done = subprocess.run(
        [sys.executable, *PROGRAM, *words], cwd=TOP, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "nefertari_search.cache: an application whose database is" in done.stderr
