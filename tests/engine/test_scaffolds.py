"""The applications of the scaffolds with this engine as their only database.

The same sessions as in test_scaffolds.py: one line of the ini file names the engine, the other
one the backend.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_scaffolds import REQUESTS, SCAFFOLDS, figures, run_session
from tests.compat import test_ramses
from tests.support.scaffolds import Deployment, generate, set_lines

pytestmark = pytest.mark.slow

#: the database and the index are one, and a read that does not search is the view's own
UNSEARCHED = "primary; reason=read-from-primary"
ENGINE = "nefertari_search_tween.engine"


def where(backend: str) -> str:
    return "embedded" if backend.startswith("embedded:") else "Elasticsearch"


@pytest.fixture(params=["embedded", pytest.param("elasticsearch", marks=pytest.mark.long)])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a backend."""
    if request.param == "embedded":
        return f"embedded:{tmp_path}/search"
    return str(request.getfixturevalue("elasticsearch_url"))


@pytest.mark.parametrize("scaffold", SCAFFOLDS)
def test_a_scaffolded_application_on_this_engine_alone(
    scaffold: str, backend: str, tmp_path: Path, index_prefix: str, record_property: Any
) -> None:
    folder = generate(scaffold, tmp_path, "stock")
    deployment = Deployment(
        folder,
        "local.ini",
        elasticsearch__index_name=index_prefix,
        elasticsearch__enable_aggregations="true",
        elasticsearch__enable_polymorphic_query="true",
    )
    before = deployment.sources()
    deployment.set_engine(ENGINE, backend)

    name = f"{scaffold} on the engine alone, {where(backend)}"
    record_property("compared", run_session(deployment, before, name))


@pytest.mark.parametrize("database_acls", [False, True])
def test_an_application_on_ramses_on_this_engine_alone(
    backend: str, database_acls: bool, tmp_path: Path, index_prefix: str, record_property: Any
) -> None:
    folder = tmp_path / "library"
    folder.mkdir()
    for pattern in ("*.raml", "*.json", "*.ini"):
        for file in test_ramses.LIBRARY.glob(pattern):
            shutil.copy(file, folder)
    deployment = Deployment(folder, "local.ini", elasticsearch__index_name=index_prefix)
    deployment.set_engine(ENGINE, backend)
    if database_acls:
        deployment.ini.write_text(set_lines(deployment.ini.read_text(), database_acls="true"))
    with deployment.serve() as server:
        session = test_ramses.Session(f"{server.url}/api", database_acls, UNSEARCHED)
        session.run()
        assert session.talk.requests >= REQUESTS
        assert server.running
    name = (
        f"a library on Ramses{' with ACLs' * database_acls} on the engine alone, {where(backend)}"
    )
    record_property("compared", figures(name, session.talk))
