"""The files of the embedded backend are their owner's, whatever umask they were made under."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nefertari_search_tween.backends.base import BulkAction
from nefertari_search_tween.backends.embedded.backend import EmbeddedBackend

SECRET = b'{"name": "hash-of-a-password"}'
MAPPING = {"dynamic": False, "properties": {"name": {"type": "keyword"}}}


@pytest.fixture(params=[0o000, 0o002, 0o022, 0o077, 0o177])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def fill(directory: Path) -> EmbeddedBackend:
    backend = EmbeddedBackend(str(directory))
    backend.create_index("users-000001", MAPPING, {}, ["users"])
    assert all(
        item.indexed for item in backend.bulk([BulkAction("users", "1", 1, SECRET)], chunk_size=10)
    )
    return backend


def all_modes(directory: Path) -> dict[str, int]:
    return {each.name: mode(each) for each in directory.iterdir()}


def test_what_is_made_is_private_from_the_first_byte(tmp_path: Path, umask: int) -> None:
    directory = tmp_path / "a" / "search"
    backend = fill(directory)

    assert mode(directory) == 0o700
    modes = all_modes(directory)
    # While a connection is open the log and its index are there.
    assert {"search.sqlite", "search.sqlite-wal", "search.sqlite-shm"} <= set(modes)
    assert set(modes.values()) == {0o600}
    backend.store.close()
    assert set(all_modes(directory).values()) == {0o600}


def test_no_moment_at_which_the_file_is_readable(tmp_path: Path) -> None:
    """A process that makes the files is stopped at each system call: none leaves them open."""
    directory = tmp_path / "search"
    observed: set[int] = set()
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            for path in (directory, *(directory.glob("*") if directory.exists() else ())):
                try:
                    observed.add(mode(path) & 0o077)
                except FileNotFoundError:
                    continue

    before = os.umask(0)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for _ in range(20):
            fill(directory).store.close()
            for each in directory.iterdir():
                each.unlink()
            directory.rmdir()
    finally:
        stop.set()
        watcher.join()
        os.umask(before)
    assert observed == {0}


def test_what_an_older_release_left_is_tightened_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    older = fill(tmp_path)
    tmp_path.chmod(0o755)
    for each in tmp_path.iterdir():
        each.chmod(0o644)

    with caplog.at_level(logging.WARNING):
        backend = EmbeddedBackend(str(tmp_path))
        documents = backend.multi_get("users", ["1"])

    assert documents["1"] == {"name": "hash-of-a-password"}
    assert mode(tmp_path) == 0o700
    assert set(all_modes(tmp_path).values()) == {0o600}
    lines = [each for each in caplog.messages if "other users could read" in each]
    # The directory, the database, and the two that its other connection keeps beside it.
    assert len(lines) == 4
    assert any(
        f"{tmp_path}/search.sqlite (mode 644): its mode is 600 now" in each for each in lines
    )
    # Once: the next connection finds nothing to do.
    caplog.clear()
    EmbeddedBackend(str(tmp_path)).ping()
    assert caplog.messages == []
    older.store.close()


def test_files_of_another_mode_that_appear_later(tmp_path: Path) -> None:
    """A copy that was put back by hand, under the umask of a shell."""
    fill(tmp_path).store.close()
    path = tmp_path / "search.sqlite"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    path.chmod(0o666)

    backend = EmbeddedBackend(str(tmp_path))
    assert backend.multi_get("users", ["1"])["1"] is not None
    assert mode(path) == 0o600


def test_a_directory_that_holds_other_files_keeps_its_mode(tmp_path: Path) -> None:
    """``embedded:%(here)s``: the application's own folder, which others may serve files from."""
    (tmp_path / "development.ini").write_text("")
    (tmp_path / "development.ini").chmod(0o644)
    tmp_path.chmod(0o755)
    fill(tmp_path)

    assert mode(tmp_path) == 0o755
    modes = all_modes(tmp_path)
    assert modes.pop("development.ini") == 0o644
    assert set(modes.values()) == {0o600}


def test_a_directory_that_a_group_shares_on_purpose(tmp_path: Path) -> None:
    directory = tmp_path / "search"
    directory.mkdir()
    directory.chmod(0o2775)
    fill(directory)

    assert mode(directory) == 0o2770
    assert set(all_modes(directory).values()) == {0o660}


def test_a_set_group_id_bit_alone_shares_nothing(tmp_path: Path) -> None:
    """Directories inherit it."""
    tmp_path.chmod(0o2755)
    directory = tmp_path / "search"
    fill(directory)

    assert mode(directory) & 0o777 == 0o700
    assert set(all_modes(directory).values()) == {0o600}


def test_locks_survive_the_connections_of_other_threads(tmp_path: Path) -> None:
    """POSIX drops a process's locks on a file with any descriptor of it that is closed."""
    backend = fill(tmp_path)
    with backend.store.writing() as connection:
        connection.execute("UPDATE indices SET writes = writes + 1")
        thread = threading.Thread(target=backend.indices, args=("*",))
        thread.start()
        thread.join()
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=0);"
                "c.execute('BEGIN IMMEDIATE')",
                str(tmp_path / "search.sqlite"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "database is locked" in done.stderr
    other = sqlite3.connect(tmp_path / "search.sqlite", timeout=0)
    other.execute("BEGIN IMMEDIATE")
    other.close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_can_read_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "search"
    backend = fill(directory)
    # Whatever of the path above would stop that user, too, is opened.
    for each in (tmp_path, *tmp_path.parents):
        if each.stat().st_uid == os.getuid() and each != Path("/"):
            each.chmod(mode(each) | 0o055)
    program = (
        "import os, sys; os.setgid(65534); os.setuid(65534)\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n"
        "        open(path, 'rb').read()\n"
        "    except PermissionError: continue\n"
        "    raise SystemExit(path)\n"
    )
    paths = [str(each) for each in directory.iterdir()]
    done = subprocess.run(
        [sys.executable, "-c", program, *paths], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    backend.store.close()
