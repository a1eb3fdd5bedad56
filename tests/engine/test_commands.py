"""The commands on an application whose only database is this engine: nothing to keep in sync."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from nefertari_search_tween.scripts.common import EXIT_FAILURE
from nefertari_search_tween.scripts.main import cli
from tests.apps.engine_relationships import INI
from tests.support.forked import run_python
from tests.support.paths import TOP

pytestmark = pytest.mark.slow

MAIN = "nefertari_search_tween.scripts.main"
INDEX = "nefertari_search_tween.scripts.nefertari_index"
#: the commands with output
USEFUL = {"mapping"}


def commands(group: click.Group, *before: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Return all commands with the arguments of their call."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *before, name)
        else:
            yield (*before, name), command


ALL = {" ".join(words): command for words, command in commands(cli)}


def run(folder: Path, module: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    return run_python("-W", "ignore", "-m", module, *words, env=environment, cwd=folder)


@pytest.fixture
def shelves(tmp_path: Path) -> list[str]:
    """An ini file, and the variables that it is without."""
    ini = tmp_path / "shelves.ini"
    ini.write_text(INI, encoding="utf-8")
    return [str(ini), f"backend=embedded:{tmp_path}/data", "index_name=shelves"]


@pytest.mark.parametrize("name", sorted(set(ALL) - USEFUL))
def test_a_command_that_has_nothing_to_do_says_so(
    name: str, shelves: list[str], tmp_path: Path
) -> None:
    all_option = ["--all"] if "--all" in [o for p in ALL[name].params for o in p.opts] else []
    done = run(tmp_path, MAIN, *name.split(), *shelves, *all_option)
    _refused(done, name.rsplit(maxsplit=1)[-1], shelves[0])


def test_nefertaris_own_command_says_so(shelves: list[str], tmp_path: Path) -> None:
    ini = Path(shelves[0])
    text = ini.read_text().replace("backend =\n", f"backend = {shelves[1][8:]}\n")
    ini.write_text(text.replace("index_name = unset", "index_name = shelves"))
    for words in (["--recreate"], ["--models", "Book"]):
        _refused(run(tmp_path, INDEX, "-c", str(ini), *words), "", str(ini))


def _refused(done: subprocess.CompletedProcess[str], name: str, ini: str) -> None:
    assert done.returncode == EXIT_FAILURE, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Error: {ini} has no mirrors, so there is nothing for '"), line
    assert name in line
    assert "nefertari.engine = nefertari_search_tween.engine" in line
    assert done.stdout == ""


def test_mappings_are_shown(shelves: list[str], tmp_path: Path) -> None:
    done = run(tmp_path, MAIN, "mapping", *shelves, "--json")
    assert done.returncode == 0, done.stderr
    output = json.loads(done.stdout)
    assert set(output) == {"Tag", "Publisher", "Writer", "Book"}
    assert output["Book"]["mapping"]["properties"]["writer"]["type"] == "long"
    assert not any(each["difference"] for each in output.values())
