"""The rules of the folder tree, read from the imports themselves."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

import nefertari_search_tween

NAME = "nefertari_search_tween"
FOLDER = Path(nefertari_search_tween.__file__).parent
MODULES = sorted(FOLDER.rglob("*.py"))
MAX_LINES = 400
MAX_MODULES = 12

#: Part -> the parts that it may import, at module level or inside functions. A dotted name is a
#: module or folder; the longest name that fits counts. A part may always import itself.
MAY_IMPORT: dict[str, set[str]] = {
    "exceptions": set(),
    "backoff": set(),
    "concurrency": {"exceptions"},
    "chunks": set(),
    "known_code": set(),
    "interfaces": {"exceptions"},
    "documents": set(),
    "backends": {"exceptions", "backoff", "chunks", "concurrency"},
    "settings": {"exceptions", "documents", "backends.analysis", "backends.connection"},
    "process_counts": {"concurrency", "interfaces"},
    "caching": {"exceptions", "concurrency", "interfaces"},
    "mirror": {"exceptions", "backoff", "concurrency", "documents", "interfaces", "backends"},
    "events": {"indexing"},
    "app_factory": {"exceptions"},
}
SHARED = {
    *MAY_IMPORT["mirror"],
    *("chunks", "known_code", "mirror", "settings", "caching"),
}
MAY_IMPORT["search"] = SHARED
MAY_IMPORT["indexing"] = SHARED
MAY_IMPORT["primary"] = SHARED
MAY_IMPORT["engine"] = SHARED
MAY_IMPORT["engine.search"] = {*SHARED, "engine", "search", "compat"}
MAY_IMPORT["compat"] = {*SHARED, "search", "engine"}
EVERYTHING = {
    *SHARED,
    *("search", "indexing", "primary", "engine", "engine.search", "compat", "events"),
    "process_counts",
}
MAY_IMPORT["runtime"] = EVERYTHING
MAY_IMPORT["scripts"] = {*EVERYTHING, "runtime"}
MAY_IMPORT["__init__"] = {*EVERYTHING, "runtime"}


def dotted(path: Path) -> str:
    """The module's name below the package: ``search.query.lucene``; of a package, its folder's."""
    parts = path.relative_to(FOLDER).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


NAMES = {dotted(path): path for path in MODULES}


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports_of(path: Path) -> Iterator[str]:
    """Modules of the package that *path* imports anywhere, inside functions too."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            base = node.module or ""
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name == NAME or not name.startswith(NAME + "."):
                continue
            below = name[len(NAME) + 1 :]
            while below and below not in NAMES:
                below = below.rpartition(".")[0]
            yield below or "__init__"


@lru_cache
def graph() -> dict[str, set[str]]:
    """What each module imports; not made at import, which each worker of a run does."""
    return {name: set(imports_of(path)) - {name} for name, path in NAMES.items()}


def part_of(name: str) -> str:
    """The most particular part that has rules of its own."""
    fitting = [part for part in MAY_IMPORT if name == part or name.startswith(part + ".")]
    return max(fitting, key=len, default=name)


def circles() -> list[set[str]]:
    """Groups of modules that import each other (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[set[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in graph()[name]:
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            group = set()
            while name not in group:
                group.add(stack.pop())
            groups.append(group)

    for name in graph():
        if name not in index:
            visit(name)
    return [group for group in groups if len(group) > 1]


def relative_name(path: Path) -> str:
    return str(path.relative_to(FOLDER))


def test_the_walk_sees_the_imports_that_are_there():
    assert len(MODULES) > 100
    assert {"search.routing", "primary.selection"} <= graph()["runtime"]
    assert "engine" in graph()["engine.search.runtime"]  # inside a function only


def test_every_part_has_its_rules():
    assert {name for name in NAMES if part_of(name) not in MAY_IMPORT} == set()


def test_parts_import_only_what_they_may():
    wrong = [
        f"{name} imports {other}"
        for name, others in sorted(graph().items())
        for other in sorted(others)
        if part_of(other) not in {part_of(name), *MAY_IMPORT[part_of(name)]}
        and not any(
            other == allowed or other.startswith(allowed + ".")
            for allowed in MAY_IMPORT[part_of(name)]
            if "." in allowed
        )
    ]
    assert wrong == []


def test_the_primaries_know_nothing_of_each_other():
    for one, other in (("sqla", "mongo"), ("mongo", "sqla")):
        for name, others in graph().items():
            if name.startswith(f"primary.{one}"):
                assert not [each for each in others if each.startswith(f"primary.{other}")], name


def test_no_circle():
    assert [sorted(group) for group in circles()] == []


@pytest.mark.parametrize("folder", sorted({path.parent for path in MODULES}), ids=relative_name)
def test_a_folder_can_be_seen_at_one_glance(folder):
    modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= MAX_MODULES, [path.name for path in modules]


def test_modules_can_be_read_in_one_sitting():
    lines = {relative_name(path): len(path.read_text("utf-8").splitlines()) for path in MODULES}
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}


def test_packages_define_no_classes():
    for path in MODULES:
        if path.name == "__init__.py":
            assert not [n for n in tree_of(path).body if isinstance(n, ast.ClassDef)], (
                relative_name(path)
            )


def test_no_exception_is_swallowed_whole():
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type is not None else "everything"
                silent = all(isinstance(each, ast.Pass) for each in node.body)
                where = f"{relative_name(path)}:{node.lineno}"
                assert caught != "everything", f"{where}: a bare except"
                broad = caught in ("Exception", "BaseException")
                assert not (silent and broad), f"{where}: except {caught}: pass"


def test_every_module_says_what_it_is_for():
    assert [relative_name(path) for path in MODULES if not ast.get_docstring(tree_of(path))] == []
