"""nefertari's own commands, as pip installs them, on a table of more than 10,000 rows.

The package is installed from a copy of its source into a folder of the test's: the script there is
what a user gets.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.apps.large.load import INI
from tests.servers import Pserve
from tests.support.apps import backend_and_hosts
from tests.support.paths import TOP
from tests.support.tiers import examples

pytestmark = pytest.mark.slow

# In the whole suite above 10,000, where nefertari's own command stops.
ROWS = examples(10_400)
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(TOP), "PYTHONWARNINGS": "ignore"}


def run(*arguments, env=ENVIRONMENT):
    return subprocess.run(
        [str(each) for each in arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env=env,
        cwd="/",
    )


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """The folder of the console scripts of this package."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"
    source.mkdir()
    for name in ("setup.py", "README.rst", "CHANGES.rst", "LICENSE", "MANIFEST.in"):
        shutil.copy(TOP / name, source)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(
        TOP / "nefertari_search_tween", source / "nefertari_search_tween", ignore=ignored
    )
    done = run(
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"),
        *("--no-index", "--no-deps", "--no-build-isolation", "--ignore-installed"),
        *("--prefix", folder / "prefix", source),
    )
    assert done.returncode == 0, done.stderr
    return folder / "prefix" / "bin"


@pytest.fixture(scope="module")
def site(tmp_path_factory, backend_url, module_prefix):
    """A folder with an ini file, and a database that is not indexed."""
    folder = tmp_path_factory.mktemp("flights")
    backend, hosts = backend_and_hosts(backend_url)
    values = {
        "database": f"sqlite:///{folder / 'flights.sqlite'}",
        "backend": backend,
        "elasticsearch_hosts": hosts,
        "index_name": module_prefix,
    }
    lines = []
    for line in INI.splitlines():
        name = line.partition(" = ")[0]
        lines.append(f"{name} = {values.pop(name)}" if name in values else line)
    assert not values
    (folder / "flights.ini").write_text("\n".join(lines))
    done = run(
        *(sys.executable, "-m", "tests.apps.large.load", folder / "flights.ini", ROWS),
        f"database=sqlite:///{folder / 'flights.sqlite'}",
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def index(scripts, site):
    """Runs ``nefertari.index -c INI ...``."""
    return lambda *arguments: run(
        scripts / "nefertari.index", "-c", site / "flights.ini", *arguments
    )


def documents(scripts, site):
    """How many documents each index holds."""
    done = run(scripts / "nefertari-search", "status", site / "flights.ini", "--json")
    return {name: row["documents"] for name, row in json.loads(done.stdout).items()}


def add(site, count, **values):
    """New flights that no session has seen."""
    connection = sqlite3.connect(site / "flights.sqlite")
    with connection:
        (last,) = connection.execute("SELECT max(id) FROM flights").fetchone()
        connection.executemany(
            f"INSERT INTO flights (id, {', '.join(values)}) "
            f"VALUES (?, {', '.join('?' for _ in values)})",
            [(last + 1 + number, *values.values()) for number in range(count)],
        )
    connection.close()


def test_an_ini_file_can_name_the_package_as_its_application(scripts):
    (points,) = scripts.parent.rglob("entry_points.txt")
    # tests/compat/test_installed.py runs what it names.
    section = "[paste.app_factory]\nmain = nefertari_search_tween.app_factory:main"
    assert section in points.read_text()


def test_nefertaris_own_command_can_not_be_started_with_the_clients_of_today():
    done = run(sys.executable, "-c", "import nefertari.scripts.es")
    assert done.returncode != 0
    assert "Urllib3HttpConnection" in done.stderr


@pytest.mark.thorough
def test_recreate_builds_everything(index, scripts, site):
    """``nefertari.index``"""
    done = index("--recreate", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    indexed = documents(scripts, site)
    assert indexed["Flight"] == ROWS
    assert min(indexed.values()) > 0

    # Again, without a moment in which nothing is there: new indices are swapped in.
    done = index("--recreate", "--chunk", "2000")
    assert done.returncode == 0, done.stderr
    assert f"Flight: {ROWS} documents indexed" in done.stdout
    assert documents(scripts, site)["Flight"] == ROWS


@pytest.mark.thorough
def test_models_gets_what_is_missing(index, scripts, site):
    """``nefertari.index``"""
    before = documents(scripts, site)["Flight"]
    add(site, 70, carrier="ZZ", dest="BQN")

    done = index("--models", "Flight,Airline", "--index", "flights-elsewhere")
    assert done.returncode == 2
    assert "--index" in done.stderr.splitlines()[-1]
    assert documents(scripts, site)["Flight"] == before

    name = next(
        line.partition(" = ")[2]
        for line in (site / "flights.ini").read_text().splitlines()
        if line.startswith("index_name")
    )
    done = index("--models", "Flight, Airline", "--chunk", "16", "--index", name)
    assert done.returncode == 0, done.stderr
    assert "Flight: 70 documents indexed" in done.stdout
    assert "Airline: 0 documents indexed" in done.stdout
    assert documents(scripts, site)["Flight"] == before + 70


@pytest.mark.thorough
def test_params_say_which_objects_are_looked_at(index, scripts, site):
    """``nefertari.index``"""
    before = documents(scripts, site)["Flight"]
    add(site, 30, carrier="QQ", dest="BQN")
    add(site, 10, carrier="QQ", dest="IAH")

    done = index("--models", "Flight", "--params", "carrier=QQ&dest=IAH&_limit=4&_sort=id")
    assert "Flight: 4 documents indexed" in done.stdout, done.stderr
    assert documents(scripts, site)["Flight"] == before + 4
    # Without a limit: all of them.
    done = index("--models", "Flight", "--params", "carrier=QQ")
    assert "Flight: 36 documents indexed" in done.stdout, done.stderr
    assert documents(scripts, site)["Flight"] == before + 40
    assert "Flight: 0 documents" in index("--models", "Flight", "--params", "year=2013").stdout

    done = index("--models", "Flight", "--params", "nope=1")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "--params nope=1" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "either --models or --recreate"),
        (("--models", "Flight", "--recreate"), "either --models or --recreate"),
        (("--recreate", "--params", "a=1"), "--params"),
        (("--models", "Nothing"), "no mirror of Nothing"),
        (("--models", "Flight", "--chunk", "0"), "--chunk"),
        (("--models",), "--models"),
    ],
    ids=str,
)
def test_wrong_usage_is_told_in_one_line(index, arguments, says):
    """``nefertari.index``"""
    done = index(*arguments)
    assert done.returncode == 2
    assert says in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_some_objects_do_not_make_an_index(index, scripts, site):
    """``nefertari.index``

    Of an index that is not there, a part would answer for the whole.
    """
    ini = site / "anew.ini"
    text = (site / "flights.ini").read_text()
    ini.write_text(text.replace("index_name = test-", "index_name = test-anew-"))
    done = run(scripts / "nefertari.index", "-c", ini, "--models", "Flight", "--params", "year=1")
    assert done.returncode == 2
    assert "index all of them first" in done.stderr.splitlines()[-1]


def test_an_ini_file_is_needed(scripts):
    done = run(scripts / "nefertari.index", "--recreate")
    assert done.returncode == 2
    assert "-c" in done.stderr.splitlines()[-1]
    done = run(scripts / "nefertari.index", "-c", "/nowhere.ini", "--recreate")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_post2api(site, scripts, tmp_path):
    """``nefertari.post2api``"""
    file = tmp_path / "airports.json"
    posted = [{"faa": f"{number:03d}", "name": f"Field {number}"} for number in range(3)]
    file.write_text(json.dumps(posted))
    own = Path(sysconfig.get_path("scripts")) / "nefertari.post2api"
    with Pserve(site / "flights.ini", env=ENVIRONMENT) as process:
        done = run(own, "-f", file, "-u", f"{process.url}/airports")
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("201") == 3
        answer = run("curl", "-sf", f"{process.url}/airports?q=field&_limit=2000&_count")
        items = json.loads(answer.stdout)["data"]
        assert items >= 3
        answer = run("curl", "-sf", f"{process.url}/airports?_search=true&faa=002")
        assert [each["name"] for each in json.loads(answer.stdout)["data"]] == ["Field 2"]
