"""The directory of the indices is removed, and built again, under a process that has it open."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nefertari_search_tween.backends.embedded.backend import EmbeddedBackend
from nefertari_search_tween.exceptions import BackendUnavailable
from tests.support.apps import awkward, forget_sessions, search_of

pytestmark = pytest.mark.slow


def _serve(pipe: Any, folder: Path) -> None:
    """Answer requests of the application in a process of its own."""
    only = {"nefertari_search.models": "Lever"}
    app = awkward(f"sqlite:///{folder}/a.sqlite", f"embedded:{folder}/search", "levers", **only)
    while (request := pipe.recv()) is not None:
        method, path, body = request
        answer = getattr(app, method)(path, *([] if body is None else [body]))
        pipe.send((answer.headers.get("X-Search-Engine"), answer.json))


class Running:
    """A process with the application."""

    def __init__(self, folder: Path) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(theirs, folder)
        )
        self.process.start()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        self.pipe.send((method, path, body))
        return self.pipe.recv()

    def end(self) -> None:
        self.pipe.send(None)
        self.process.join()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    process = Running(tmp_path)
    yield process
    process.end()


def names(answer: Any) -> list[str]:
    return [each["name"] for each in answer[1]["data"]]


def rebuilt(folder: Path) -> None:
    """By another process than the running one: this one."""
    from nefertari_search_tween.indexing.rebuild.rebuild import rebuild

    only = {"nefertari_search.models": "Lever", "nefertari_search.schema": "none"}
    app = awkward(f"sqlite:///{folder}/a.sqlite", f"embedded:{folder}/search", "levers", **only)
    search = search_of(app)
    mirror = search.mirrors.get("Lever")
    rebuild(search.mirrors, search.rebuild_locks, search.outbox, [mirror], 100)
    forget_sessions()


def test_a_running_process_writes_to_the_directory_that_is_there(
    running: Running, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        running.ask("post_json", "/levers", {"name": name})
    assert running.ask("get", "/levers?_sort=id")[0] == "mirror"
    shutil.rmtree(tmp_path / "search")
    rebuilt(tmp_path)
    running.ask("post_json", "/levers", {"name": "three"})
    assert running.ask("get", "/levers?_sort=id") == (
        "mirror",
        running.ask("get", "/levers?_sort=id&_search=false")[1],
    )
    assert names(running.ask("get", "/levers?_sort=id")) == ["one", "two", "three"]
    # In the files of that name.
    fresh = EmbeddedBackend(str(tmp_path / "search"))
    response = fresh.search("levers-lever", {"query": {"match_all": {}}})
    assert response["hits"]["total"]["value"] == 3
    fresh.close()


def test_a_removed_directory_is_no_index(running: Running, tmp_path: Path) -> None:
    """Not what was in it: what is written now is nowhere else."""
    running.ask("post_json", "/levers", {"name": "one"})
    assert running.ask("get", "/levers")[0] == "mirror"
    shutil.rmtree(tmp_path / "search")
    running.ask("post_json", "/levers", {"name": "two"})
    engine, body = running.ask("get", "/levers?_sort=id")
    assert engine == "primary; reason=no-index"
    assert [each["name"] for each in body["data"]] == ["one", "two"]


def test_a_write_into_a_removed_file_is_not_taken_for_done(tmp_path: Path) -> None:
    backend = EmbeddedBackend(str(tmp_path / "search"))
    mapping = {"properties": {"name": {"type": "keyword"}}}
    backend.create_index("x-000001", mapping, {}, ["x"])

    def remove_while_writing() -> None:
        with backend.store.writing() as connection:
            connection.execute("UPDATE indices SET writes = writes + 1")
            shutil.rmtree(tmp_path / "search")

    with pytest.raises(BackendUnavailable, match="was removed"):
        remove_while_writing()
    assert backend.get_mapping("x") is None
    backend.create_index("x-000001", mapping, {}, ["x"])
    assert backend.get_mapping("x") == mapping
    backend.close()
