"""docs/migrating.rst: each row of its table has its tests, and its examples work."""

from __future__ import annotations

import ast
import doctest
import re
from pathlib import Path

import pytest
import transaction
from pyramid.paster import get_appsettings

from nefertari_search_tween.app_factory import APPLICATION
from nefertari_search_tween.settings.settings import Settings
from tests.support.apps import films
from tests.support.paths import TOP

TESTS = TOP / "tests"
DROP_IN = ("dropin", "eventual", "installed", "public", "requests")
TEXT = (TESTS.parent / "docs" / "migrating.rst").read_text(encoding="utf-8")
ROW = re.compile(r"^   \* - (.+)\n     - (.+)\n     - (.+)$", re.MULTILINE)
ROWS = {what: rule for what, rule, _ in ROW.findall(TEXT) if what != "what"}
FILES = [
    *(TESTS / "compat" / f"test_{name}.py" for name in DROP_IN),
    TESTS / "commands" / "test_nefertari_scripts.py",
]
FILMS = {1: ("The Godfather", 1972), 2: ("Vertigo", 1958), 3: ("Rashomon", 1950)}


def claimed() -> dict[str, list[str]]:
    """Return the rows that tests refer to, each with the names of the tests."""
    sections: dict[str, list[str]] = {}
    for path in FILES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                row = (ast.get_docstring(node) or "").partition("\n")[0]
                if row or path.parent.name == "compat":
                    sections.setdefault(row, []).append(f"{path.name}::{node.name}")
    return sections


def blocks(language: str) -> list[str]:
    """The code blocks in *language*, without their indent."""
    rows = re.findall(
        rf"^( *)\.\. code-block:: {language}\n\n((?:\1   .*\n|\n)+)", TEXT, re.MULTILINE
    )
    return [re.sub(rf"(?m)^{indent}   ", "", block) for indent, block in rows]


def test_the_table_is_read_whole():
    assert len(ROWS) == TEXT.count("\n   * - ") - 1 > 30
    assert set(ROWS.values()) == {"kept", "fixed", "adapted"}


@pytest.mark.parametrize("row", sorted(ROWS))
def test_each_row_has_its_test(row: str):
    assert row in claimed()


def test_each_test_is_for_a_row():
    assert {row: tests for row, tests in claimed().items() if row not in ROWS} == {}


@pytest.mark.parametrize("block", blocks("ini"))
def test_settings(block: str, tmp_path: Path):
    ini = tmp_path / "app.ini"
    ini.write_text(re.sub(r"use = .*", "use = call:tests.apps.every_field:main", block))
    settings = get_appsettings(str(ini))
    assert "nefertari_search_tween" in settings.get("pyramid.includes", "") + settings.get(
        "pyramid.tweens", ""
    )
    if settings.pop(APPLICATION, None) is None:
        assert Settings(settings).backend == ("elasticsearch", None)
        assert Settings(settings).index_name == "stories"


def test_examples(tmp_path, backend_url, module_prefix):
    app = films(tmp_path, backend_url, module_prefix)
    from films.models import Film

    for pk, (title, year) in FILMS.items():
        Film(id=pk, title=title, year=year).save()
    transaction.commit()
    assert app.get("/films?_count").json == {"data": len(FILMS)}
    examples = "\n".join(blocks("pycon")).replace("'index': 'films'", f"'index': '{module_prefix}'")
    test = doctest.DocTestParser().get_doctest(examples, {}, "migrating", None, 0)
    printed: list[str] = []
    runner = doctest.DocTestRunner()
    runner.run(test, out=printed.append)
    assert (runner.failures, runner.tries) == (0, 10), "".join(printed)
    transaction.abort()
