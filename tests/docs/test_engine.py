"""The examples of docs/engine.rst run, in their order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.support.paths import TOP

TEXT = "\n" + (TOP / "docs" / "engine.rst").read_text(encoding="utf-8")


def blocks(start: str, end: str) -> list[str]:
    """The literal blocks between two headings."""
    part = TEXT[TEXT.index(f"\n{start}\n") : TEXT.index(f"\n{end}\n")]
    blocks = re.findall(r"::\n\n((?:    .*\n|\n)+)", part)
    return [textwrap.dedent(each).strip("\n") for each in blocks]


def test_the_first_examples_run_on_settings_of_the_documentation(tmp_path: Path) -> None:
    (ini,) = blocks("The engine: a search backend as the only database", "Models")
    settings = dict(re.split(r"\s*=\s*", line, maxsplit=1) for line in ini.splitlines())
    settings = {key: text.replace("%(here)s", str(tmp_path)) for key, text in settings.items()}
    code = blocks("Models", "Reading")
    assert len(code) == 7, code
    script = [
        "from pyramid.config import Configurator",
        f"settings = {settings!r}",
        "settings['elasticsearch.index_name'] = 'documentation'",
        "config = Configurator(settings=settings)",
        "config.include('nefertari.engine')",
        code[0],
        code[4],
        "eng.setup_database(config)",
        "Seat(row='a', number=1).save(), Seat(row='b', number=1).save()",
        "assert Seat.get_or_create(row='a', number=1)[1] is False",
        code[1],
        # A loop that would not end is an example that is wrong.
        "assert Book.get_item(isbn='978-1').pages == 300",
        code[2],
        "assert Book.get_item(isbn='978-1').pages == 301",
        code[3],
        "assert Book.get_item(isbn='978-1').pages == 5",
        code[5],
        code[6],
        "assert Book.get_item(title='Orlando').author.code == 'vw'",
        "assert not Author.get_collection(code='woolf')",
    ]
    done = _run("\n".join(script), tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_examples_of_reading_run(tmp_path: Path) -> None:
    (reading,) = blocks("Reading", "Differences from a database")
    code = blocks("Models", "Two engines side by side")
    assert code[0].startswith("from nefertari import engine as eng")
    script = [
        "from pyramid.config import Configurator",
        "settings = {'nefertari.engine': 'nefertari_search_tween.engine',",
        f"    'nefertari_search.backend': 'embedded:{tmp_path}',",
        "    'elasticsearch.index_name': 'documentation'}",
        "config = Configurator(settings=settings)",
        "config.include('nefertari.engine')",
        code[0],
        "eng.setup_database(config)",
        "for name in ('woolf', 'joyce', 'mann'):",
        "    Author(code=name, name=name).save()",
        "    Book(title=name, isbn=name, pages=150, author=name).save()",
        *(
            f"print({line}{'' if '_count' in line else '.count()'})"
            for line in reading.splitlines()
        ),
    ]
    done = _run("\n".join(script), tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["3", "2"]


def _run(script: str, directory: Path) -> subprocess.CompletedProcess[str]:
    path = directory / "example.py"
    path.write_text(script, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-W", "ignore", str(path)],
        cwd=TOP,
        env={**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", str(TOP))},
        capture_output=True,
        text=True,
        timeout=120,
    )
