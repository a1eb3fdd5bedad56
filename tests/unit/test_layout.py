"""The rules of the folder tree, read from the imports themselves."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import nefertari_search_tween

NAME = "nefertari_search_tween"
FOLDER = Path(nefertari_search_tween.__file__).parent
MODULES = sorted(FOLDER.rglob("*.py"))
LONGEST = 420
# The conformance suite ships with the package; tests are read case by case.
LONGEST_OF_A_SUITE = 600
SEES_BOTH = {"__init__", "runtime", "compat", "scripts", "web"}


def part_of(path):
    """The first folder below the package, or the module's own name at the top."""
    relative = path.relative_to(FOLDER)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported_parts(path):
    """Parts of the package that *path* imports anywhere, inside functions too."""
    parts = set()
    package = ".".join((NAME, *path.relative_to(FOLDER).parent.parts))
    for node in ast.walk(tree_of(path)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
                base = f"{above}.{base}".rstrip(".")
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        parts |= {name.split(".")[1] for name in names if name.startswith(NAME + ".")}
    return parts


def importers(*parts):
    return [path for path in MODULES if part_of(path) in parts]


def shown(path):
    return str(path.relative_to(FOLDER))


def test_the_walk_sees_the_imports_that_are_there():
    assert len(MODULES) > 30
    assert {"search", "indexing", "backends"} <= imported_parts(FOLDER / "runtime.py")
    assert "primary" in imported_parts(FOLDER / "runtime.py")  # inside functions only


@pytest.mark.parametrize("path", importers("search"), ids=shown)
def test_search_never_imports_indexing(path):
    assert "indexing" not in imported_parts(path)


@pytest.mark.parametrize("path", importers("indexing"), ids=shown)
def test_indexing_never_imports_search(path):
    assert "search" not in imported_parts(path)


@pytest.mark.parametrize("path", importers("backends"), ids=shown)
def test_backends_import_neither_side_nor_mirrors(path):
    assert imported_parts(path) <= {"backends", "exceptions", "settings"}


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_only_the_wiring_sees_both_sides(path):
    if {"search", "indexing"} <= imported_parts(path):
        assert part_of(path) in SEES_BOTH


@pytest.mark.parametrize("path", importers("mirror", "engine", "primary"), ids=shown)
def test_what_both_sides_share_imports_neither(path):
    if path.parent == FOLDER / "engine" / "search":
        return
    assert not {"search", "indexing"} & imported_parts(path)


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_a_module_can_be_read_in_one_sitting(path):
    longest = LONGEST_OF_A_SUITE if "conformance" in path.parts else LONGEST
    assert len(path.read_text(encoding="utf-8").splitlines()) <= longest


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_no_exception_is_swallowed_whole(path):
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type is not None else "everything"
            silent = all(isinstance(each, ast.Pass) for each in node.body)
            assert caught != "everything", f"line {node.lineno}: a bare except"
            broad = caught in ("Exception", "BaseException")
            assert not (silent and broad), f"line {node.lineno}: except {caught}: pass"


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_every_module_says_what_it_is_for(path):
    assert ast.get_docstring(tree_of(path))
