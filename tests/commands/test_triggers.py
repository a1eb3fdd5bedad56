"""``nefertari-search triggers`` on the example application, as in docs/triggers.rst."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from nefertari_search_tween.exceptions import ConfigurationError
from nefertari_search_tween.primary.sqla.capture.triggers import install as triggers
from tests.commands.test_commands import assignments, one_line, python
from tests.support.apps import INI, TOP, film_options

pytestmark = pytest.mark.slow

DOCUMENTED = (TOP / "docs" / "triggers.rst").read_text(encoding="utf-8")
INSTALL, STATUS, STATUS_JSON, REMOVE = re.findall(
    r"^    \$ nefertari-search (.*)$", DOCUMENTED, re.MULTILINE
)
#: the documented output of the first command
SHOWN = re.findall(r"^    (\w+) +(installed)$", DOCUMENTED, re.MULTILINE)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("triggers")
    return folder, film_options(folder, f"embedded:{folder / 'mirrors'}", "triggers")


@pytest.fixture
def run(site):
    """Runs a command line of the docs, on a database of the test's own."""
    _, variables = site

    def run(line, **more):
        words = [str(INI) if word == "development.ini" else word for word in line.split()]
        program = ["-m", "nefertari_search_tween.scripts.main"]
        return python(*program, *words, *assignments({**variables, **more}))

    yield run
    assert run(REMOVE).returncode == 0


def tables(output):
    return [tuple(line.split(maxsplit=1)) for line in output.splitlines()]


def test_the_documented_commands_do_what_the_docs_say(run):
    before = run(STATUS)
    assert before.returncode == 1
    assert {state for _, state in tables(before.stdout)} == {"missing"}

    installed = run(INSTALL)
    assert (installed.returncode, installed.stderr) == (0, "")
    assert len(SHOWN) > 4
    assert tables(installed.stdout) == SHOWN
    assert run(STATUS).stdout == installed.stdout

    status = run(STATUS_JSON)
    assert status.returncode == 0
    assert json.loads(status.stdout) == {"tables": dict(SHOWN), "unclaimed": {}}

    removed = run(REMOVE)
    assert removed.returncode == 0
    assert {state for _, state in tables(removed.stdout)} == {"missing"}


def test_rows_that_no_mirror_is_for_are_told(run, site):
    run(INSTALL)
    with sqlite3.connect(Path(site[1]["database"])) as connection:
        connection.execute(
            "INSERT INTO nefertari_search_outbox (model, pk, recorded_at) VALUES ('Gone', '1', 0)"
        )
    output = run(STATUS)
    assert output.returncode == 1
    assert "1 rows pending of Gone" in output.stdout
    with sqlite3.connect(Path(site[1]["database"])) as connection:
        connection.execute("DELETE FROM nefertari_search_outbox")
    assert run(STATUS).returncode == 0


def test_wrong_usage_is_refused(run):
    assert run(STATUS.replace("status", "statsu")).returncode == 2
    assert run(f"{STATUS} word").returncode == 2
    one_line(run(STATUS.replace("development.ini", "/no/such.ini")))


def test_a_database_without_our_triggers_is_refused():
    """An engine that never connects: what it would connect to is known by its name."""
    engine = create_engine("mysql://", strategy="mock", executor=None)

    assert not triggers.present(engine)
    for act in (triggers.install, triggers.remove, triggers.status):
        with pytest.raises(ConfigurationError, match="PostgreSQL and SQLite, not on mysql"):
            act(engine, None)
