"""The command line on an application on MongoDB: rebuild, verify, repair, and the ini file of the
documentation."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.apps.every_field_mongo import INI
from tests.apps.wsgi import LOGGING
from tests.servers import FerretdbServer, Pserve
from tests.support.paths import TOP

pytestmark = pytest.mark.mongodb

PAGE = (TOP / "docs" / "mongodb.rst").read_text(encoding="utf-8")
TAGS = 25


class Place:
    """An ini file with its variables, and the database behind it."""

    def __init__(self, folder: Path, server: FerretdbServer) -> None:
        from pymongo import MongoClient

        self.ini = folder / "zoo.ini"
        self.ini.write_text(INI)
        name = f"commands_{uuid.uuid4().hex[:12]}"
        self.client: Any = MongoClient(server.url)
        self.database = self.client[name]
        self.variables = {
            "mongodb_port": str(server.port),
            "mongodb_db": name,
            "backend": f"embedded:{folder / 'index'}",
            "index_name": "commands",
        }
        self.environment = {**os.environ, "PYTHONPATH": str(TOP), "PYTHONWARNINGS": "ignore"}

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command: its name, and options."""
        command, *options = words
        line = [*command.split(), str(self.ini)]
        line += [f"{key}={value}" for key, value in self.variables.items()]
        return subprocess.run(
            [sys.executable, "-m", "nefertari_search_tween.scripts.main", *line, *options],
            env=self.environment,
            cwd=TOP,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def json(self, *words: str) -> Any:
        done = self(*words, "--json")
        assert done.returncode in (0, 1), done.stdout + done.stderr
        return json.loads(done.stdout.strip().splitlines()[-1] if done.stdout else "null")


@pytest.fixture
def deployment(tmp_path: Path, ferretdb_server: FerretdbServer) -> Iterator[Place]:
    deployment = Place(tmp_path, ferretdb_server)
    deployment.database.zoo_tags.insert_many({"_id": n, "name": f"tag {n}"} for n in range(TAGS))
    deployment.database.zoo_keepers.insert_one({"_id": "a", "name": "Ann", "items": []})
    yield deployment
    deployment.database.client.drop_database(deployment.database.name)
    deployment.client.close()


@pytest.mark.thorough
def test_rebuild_verify_and_repair(deployment: Place) -> None:
    assert deployment("verify").returncode != 0  # nothing is built
    done = deployment("rebuild")
    assert done.returncode == 0, done.stdout + done.stderr
    done = deployment("verify")
    assert done.returncode == 0, done.stdout + done.stderr
    # Behind everybody's back.
    deployment.database.zoo_tags.update_one({"_id": 3}, {"$set": {"name": "changed"}})
    deployment.database.zoo_tags.delete_one({"_id": 4})
    deployment.database.zoo_tags.insert_one({"_id": 99, "name": "new"})
    done = deployment("verify", "--models", "Tag")
    assert done.returncode == 1
    for key in ("3", "4", "99"):
        assert re.search(rf"\b{key}\b", done.stdout), done.stdout
    done = deployment("repair", "--models", "Tag")
    assert done.returncode == 0, done.stdout + done.stderr
    assert deployment("verify").returncode == 0
    assert deployment("status").returncode == 0
    with Pserve(
        deployment.ini, variables=deployment.variables, env=deployment.environment
    ) as served:
        answer = urllib.request.urlopen(f"{served.url}/tags?name=changed", timeout=30)
        assert answer.headers["X-Search-Engine"] == "mirror"
        assert [each["number"] for each in json.load(answer)["data"]] == [3]
    # A second time, into the next index.
    assert deployment("rebuild").returncode == 0
    assert deployment("verify").returncode == 0


def test_triggers_are_none_of_mongodbs(deployment: Place) -> None:
    done = deployment("triggers install")
    assert done.returncode == 2
    assert "MongoDB has no triggers" in done.stderr and "Traceback" not in done.stderr


def test_a_database_that_does_not_answer_ends_the_program_with_one_line(deployment: Place) -> None:
    deployment.ini.write_text(
        INI.replace(
            "mongodb.host = 127.0.0.1",
            "mongodb.host = mongodb://127.0.0.1/?serverSelectionTimeoutMS=300",
        )
    )
    deployment.variables["mongodb_port"] = "1"
    done = deployment("status")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("Error: ")


def test_the_settings_of_the_documentation_work(
    deployment: Place, ferretdb_server: FerretdbServer, elasticsearch_url: str, index_prefix: str
) -> None:
    block = re.search(r"code-block:: ini\n\n((?:    .*\n|\n)+)", PAGE)
    assert block is not None
    text = re.sub(r"^    ", "", block[1], flags=re.MULTILINE)
    text = text.replace("27017", str(ferretdb_server.port))
    text = text.replace("127.0.0.1:9200", elasticsearch_url.partition("://")[2])
    text = text.replace("= zoo\n", f"= {index_prefix}\n")
    text = text.replace(
        "[app:main]", "[app:main]\nuse = call:tests.apps.every_field_mongo:main\nauth = false"
    )
    deployment.ini.write_text(text + LOGGING)
    deployment.variables = {}
    done = deployment("rebuild")
    assert done.returncode == 0, done.stdout + done.stderr
    assert deployment("verify").returncode == 0
    deployment.client.drop_database(index_prefix)
