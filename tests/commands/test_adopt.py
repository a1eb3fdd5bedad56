"""``nefertari-search adopt`` and ``new-identity``, as a user runs them, and what other commands do
with an index of another database."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.apps.every_field import INI
from tests.support.apps import backend_and_hosts
from tests.support.forked import run_python
from tests.support.paths import TOP

pytestmark = [pytest.mark.every_backend, pytest.mark.slow]

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(TOP), "PYTHONWARNINGS": "ignore"}
CHECKED = ["status", "index", "rebuild", "verify", "repair", "drain", "mapping", "worker"]


class Applications:
    """Runs commands of applications that differ in their databases alone."""

    def __init__(self, folder: Path, url: str, prefix: str) -> None:
        self.folder = folder
        self.backend, self.hosts = backend_and_hosts(url)
        self.prefix = prefix
        (folder / "zoo.ini").write_text(INI)

    def __call__(self, command: str, database: str, *arguments: str, **more: str) -> Any:
        variables = {
            "database": f"sqlite:///{self.folder}/{database}.sqlite",
            "backend": self.backend,
            "elasticsearch_hosts": self.hosts,
            "index_name": self.prefix,
            **more,
        }
        return run_python(
            *("-m", "nefertari_search_tween.scripts.main", command, self.folder / "zoo.ini"),
            *(f"{key}={value}" for key, value in variables.items()),
            *arguments,
            env=ENVIRONMENT,
        )

    def identifier(self, database: str) -> str:
        import sqlite3

        connection = sqlite3.connect(self.folder / f"{database}.sqlite")
        (identifier,) = connection.execute(
            "SELECT identifier FROM nefertari_search_identity"
        ).fetchone()
        connection.close()
        return str(identifier)

    def add_item(self, database: str, key: int) -> None:
        """By SQL: the mirror does not know it."""
        import sqlite3

        connection = sqlite3.connect(self.folder / f"{database}.sqlite")
        connection.execute("INSERT INTO zoo_items (id, name) VALUES (?, 'Lion')", (key,))
        connection.commit()
        connection.close()


@pytest.fixture
def run(tmp_path: Path, backend_url: str, index_prefix: str) -> Applications:
    return Applications(tmp_path, backend_url, index_prefix)


def states(done: Any) -> set[str]:
    return {row["state"] for row in json.loads(done.stdout).values()}


@pytest.mark.thorough
def test_an_index_is_adopted_on_purpose(run: Applications) -> None:
    assert run("status", "first", "--json").returncode == 0
    run.add_item("first", 1)
    assert run("index", "first").returncode == 0

    for command in CHECKED:
        done = run(command, "second")
        assert done.returncode == 2, command
        assert "Traceback" not in done.stderr
        (line,) = [each for each in done.stderr.splitlines() if each.startswith("Error: ")]
        assert run.identifier("first") in line
        assert run.identifier("second") in line
        assert "nefertari-search adopt" in line

    done = run("adopt", "second")
    assert done.returncode == 0, done.stderr
    assert f"adopted for database {run.identifier('second')}: {run.prefix}-" in done.stdout
    assert "run `nefertari-search rebuild`" in done.stdout
    # The rows of the first are not shown as the second's.
    assert states(run("status", "second", "--json")) == {"schema-mismatch"}
    assert run("rebuild", "second").returncode == 0
    done = run("status", "second", "--json")
    assert states(done) == {"ready"}
    assert {row["documents"] for row in json.loads(done.stdout).values()} == {0}
    assert run("verify", "second").returncode == 0
    # Now it is the first that is another.
    assert run.identifier("second") in run("status", "first").stderr
    # There is nothing left to adopt.
    done = run("adopt", "second", "--json")
    result = json.loads(done.stdout)
    assert result["identifier"] == run.identifier("second")
    assert not any(result["adopted"].values())
    assert result["to_rebuild"] == []


def test_a_database_that_moved_goes_on_with_what_it_has(run: Applications) -> None:
    run("status", "first")
    run.add_item("first", 1)
    assert run("index", "first").returncode == 0
    shutil.move(run.folder / "first.sqlite", run.folder / "moved.sqlite")

    done = run("status", "moved")
    assert done.returncode == 2
    assert "the same identifier at another place" in done.stderr
    done = run("adopt", "moved")
    assert done.returncode == 0, done.stderr
    assert "rebuild" not in done.stdout
    done = run("status", "moved", "--json")
    assert states(done) == {"ready"}
    assert json.loads(done.stdout)["Item"]["documents"] == 1


def test_a_copy_gets_an_identity_of_its_own(run: Applications) -> None:
    run("status", "first")
    shutil.copy(run.folder / "first.sqlite", run.folder / "copy.sqlite")
    assert "nefertari-search new-identity" in run("status", "copy").stderr

    done = run("new-identity", "copy")

    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        f"sqlite {run.folder}/copy.sqlite is the database {run.identifier('copy')} from now on\n"
    )
    assert run.identifier("copy") != run.identifier("first")
    assert "belongs to another database" in run("status", "copy").stderr
    assert run("status", "copy", index_name=f"{run.prefix}-staging").returncode == 0
    assert run("status", "first").returncode == 0
    done = run("new-identity", "copy", "--json")
    assert json.loads(done.stdout)["identifier"] == run.identifier("copy")
