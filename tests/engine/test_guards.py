"""nefertari-guards' access lists in documents of this engine, in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import TOP

SCRIPT = """
from pyramid.config import Configurator
from pyramid.security import ALL_PERMISSIONS, Allow, Deny, Everyone

config = Configurator(settings={
    "nefertari.engine": "nefertari_search_tween.engine",
    "nefertari_search.backend": "embedded:DIRECTORY",
    "elasticsearch.index_name": "guards",
})
config.include("nefertari.engine")
config.include("nefertari_guards.engine")
from nefertari import engine as eng
from nefertari_guards import engine as guards

class Story(guards.DocumentACLMixin, eng.ESBaseDocument):
    __item_acl__ = [(Allow, "g:admin", ALL_PERMISSIONS), (Deny, Everyone, ("update", "delete"))]
    name = eng.StringField(primary_key=True)

eng.setup_database(config)
Story(name="a").save()
found = Story.get_item(name="a")
assert found._acl == [
    {"action": "allow", "principal": "g:admin", "permission": "all"},
    {"action": "deny", "principal": "everyone", "permission": "update"},
    {"action": "deny", "principal": "everyone", "permission": "delete"},
], found._acl
assert list(found.get_acl()[0]) == [Allow, "g:admin", ALL_PERMISSIONS], found.get_acl()
found.update({"_acl": [(Allow, "bob", "view")]})
assert Story.get_item(name="a")._acl == [
    {"action": "allow", "principal": "bob", "permission": "view"}
]
assert "_acl" not in Story.get_null_values()
try:
    found.update({"_acl": [("allow", "bob", "dance")]})
except Exception as error:
    assert error.status_int == 400, error
    print("refused")
"""


def test_access_lists_are_kept(tmp_path: Path) -> None:
    # Not imported here: that would import nefertari's own search.
    if importlib.util.find_spec("nefertari_guards") is None:
        pytest.skip("nefertari-guards is not installed")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT.replace("DIRECTORY", str(tmp_path))],
        cwd=TOP,
        env={**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", str(TOP))},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "refused"
