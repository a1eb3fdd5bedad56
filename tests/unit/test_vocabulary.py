"""Words that must not come back as names: each has a term of the field in its place."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import nefertari_search_tween
from tests.support.paths import TOP

PACKAGE = Path(nefertari_search_tween.__file__).parent
FOLDERS = (PACKAGE, TOP / "tests", TOP / "bench", TOP / "examples")

#: Whole names, an underscore before them or not. Participles say nothing of what a variable
#: holds: name it by a noun (rows, request, params, models, keys, cached, remaining).
NAMES = {
    *("found", "asked", "given", "known", "wanted", "kept", "left", "told", "heard", "said"),
    *("seen", "shown", "held", "taken", "gone", "chosen", "named", "made", "judged", "passed"),
    *("anew", "alarm", "bell", "everything", "everybody", "nobody", "somebody", "newcomers"),
    *("looks", "looking", "look", "troubles", "trouble", "place", "around", "unfit", "inquiry"),
    *("Trouble", "Troubles", "News", "Inquiry", "Unfit", "Written", "Stored", "Found", "Seen"),
    *("Around", "Asked", "Names", "Words", "Figures", "Answers", "Mark", "Alarm", "Hooks"),
    *("Relations", "Edge", "EarlyHooks", "Recorded", "Everything", "Nothing", "Looking"),
}
#: Parts of names, between underscores or capitals.
PARTS = {"several", "troubles", "newcomers", "bell", "alarm", "unfit", "inquiry", "judged"}


def names_of(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Names that a module defines: modules, classes, functions, parameters, variables."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname, node.lineno


def parts_of(name: str) -> set[str]:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().split("_")
    return set(words)


def is_banned(name: str) -> bool:
    # A test's name is a sentence, in which these are ordinary words.
    if name.startswith("test_"):
        return False
    return name.strip("_") in NAMES or bool(parts_of(name) & PARTS)


def banned_in(folder: Path) -> list[str]:
    hits = []
    for path in sorted(folder.rglob("*.py")):
        relative = path.relative_to(TOP) if path.is_relative_to(TOP) else path
        if is_banned(path.stem):
            hits.append(str(relative))
        for name, line in names_of(ast.parse(path.read_text(encoding="utf-8"))):
            if is_banned(name):
                hits.append(f"{relative}:{line}: {name}")
    return hits


def test_the_words_are_seen_where_they_are():
    code = "class Trouble:\n  def several_of(self, found): self.told = kept = 1\n"
    names = [name for name, _ in names_of(ast.parse(code))]
    banned = sorted(name for name in names if is_banned(name))
    assert banned == ["Trouble", "found", "kept", "several_of", "told"]


def test_no_name_of_the_old_vocabulary_came_back():
    hits = [hit for folder in FOLDERS for hit in banned_in(folder)]
    assert hits == [], f"{len(hits)} names"
