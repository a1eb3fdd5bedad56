"""README.rst lists exactly the commands and pages that exist."""

from __future__ import annotations

import re

from nefertari_search_tween.scripts.main import cli
from tests.support.paths import TOP

README = (TOP / "README.rst").read_text(encoding="utf-8")


def test_every_command_is_in_its_table():
    (table,) = re.findall(r"\n=+  =+\n(.*?)\n=+  =+\n", README, re.DOTALL)
    commands = re.findall(r"^``([\w-]+)", table, re.MULTILINE)
    assert sorted(commands) == sorted(cli.commands)


def test_every_page_is_linked():
    pages = {each.name for each in (TOP / "docs").glob("*.rst")}
    linked = set(re.findall(r"<docs/([\w-]+\.rst)>", README))
    assert pages - linked == {"index.rst", "changes.rst", "films.rst", "python.rst"}
    assert linked <= pages
