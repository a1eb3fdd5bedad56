"""What a process imports: the search engine's parts that its settings select, and no others."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from nefertari_search_tween.compat import elasticsearch as drop_in
from tests.support.paths import TOP

EMBEDDED = "nefertari_search_tween.backends.embedded"
CLIENT = "elasticsearch"
OPENSEARCH = "opensearchpy"
#: a module that is there once each of them is in use
IN_USE = {
    "nothing": set(),
    "embedded": {f"{EMBEDDED}.backend"},
    "elasticsearch": {CLIENT, "elastic_transport"},
    "opensearch": {OPENSEARCH},
}
MADE = """
from nefertari_search_tween.backends import make_backend
from nefertari_search_tween.backends.connection import Connection
make_backend({kind!r}, {directory!r}, Connection({hosts!r}))
"""


def imported(program: str) -> set[str]:
    """Names of the modules that *program* has imported when it ends."""
    code = f"{program}\nimport sys; print(sorted(sys.modules))"
    # Not a fork of a process that has imported them.
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=TOP, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return set(ast.literal_eval(done.stdout.splitlines()[-1]))


def engines(modules: set[str]) -> set[str]:
    """Those of *modules* that belong to one of the engines."""
    prefixes = (EMBEDDED, CLIENT, "elastic_transport", OPENSEARCH)
    return {name for name in modules if name.partition(".")[0] in prefixes or EMBEDDED in name}


def test_the_package_imports_no_engine():
    modules = imported("import nefertari_search_tween")
    assert "nefertari_search_tween.search.searcher" in modules
    assert engines(modules) == set()


@pytest.mark.parametrize("kind", ["embedded", "elasticsearch", "opensearch"])
def test_a_backend_imports_its_own(kind, tmp_path):
    program = MADE.format(kind=kind, directory=str(tmp_path), hosts=("http://127.0.0.1:1",))
    modules = engines(imported(program))
    assert IN_USE[kind] <= modules
    others = set().union(*(IN_USE[each] for each in IN_USE if each != kind))
    assert modules & others == set()


def test_names_that_need_the_client_import_it():
    modules = imported("from nefertari_search_tween.compat.elasticsearch import ESHttpConnection")
    assert CLIENT in modules
    assert CLIENT in imported("from nefertari_search_tween.engine import ESJSONSerializer")
    with pytest.raises(AttributeError, match="no attribute Unknown"):
        _ = drop_in.Unknown
