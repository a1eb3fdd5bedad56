"""FerretDB 1.24, which speaks MongoDB's protocol over SQLite: built from its Go module.

No registry that is reached here serves a mongod. FerretDB's own command can't be installed by
``go install`` (the module proxy has no list of its versions), so a main of ours uses it as a
library.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from pathlib import Path

from tests.servers.base import (
    Server,
    ServerMissing,
    cache_dir,
    install_debian_package,
    locked,
    run_as_server_user,
    wait_until,
)

VERSION = "v1.24.0"
MODULE = "github.com/FerretDB/FerretDB"
BUILD_SECONDS = 1200

GO_MOD = f"""module ferretdbserver

go 1.22

require {MODULE} {VERSION}
"""
MAIN = f"""package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"

	"{MODULE}/ferretdb"
)

// Usage: ferretdb HOST:PORT DIRECTORY
func main() {{
	server, err := ferretdb.New(&ferretdb.Config{{
		Listener:  ferretdb.ListenerConfig{{TCP: os.Args[1]}},
		Handler:   "sqlite",
		SQLiteURL: "file:" + os.Args[2] + "/",
	}})
	if err != nil {{
		log.Fatal(err)
	}}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := server.Run(ctx); err != nil && ctx.Err() == nil {{
		log.Fatal(err)
	}}
}}
"""


class FerretdbServer(Server):
    """A server on 127.0.0.1, open to everybody; `settings(database)` are nefertari_mongodb's."""

    name = "ferretdb"
    start_seconds = 60

    @property
    def url(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/"

    def settings(self, database: str) -> dict[str, str]:
        """What an application's ini file says to use *database*."""
        return {
            "mongodb.host": "127.0.0.1",
            "mongodb.port": str(self.port),
            "mongodb.db": database,
        }

    def _install(self) -> None:
        self._program = build()

    def _create(self, work: Path) -> None:
        (work / "data").mkdir()
        shutil.chown(work / "data", work.stat().st_uid, work.stat().st_gid)

    def _launch(self, work: Path) -> None:
        self._pid_file(work).unlink(missing_ok=True)
        # Returns once the server is in the background: it is no daemon by itself.
        # The inner shell writes down its own pid and becomes the server.
        inner = """'echo $$ > "$0"; exec "$@"'"""
        program = [self._program, f"127.0.0.1:{self.port}", work / "data"]
        run_as_server_user(
            ["sh", "-c", f'exec setsid sh -c {inner} "$@" &', "sh", self._pid_file(work), *program],
            cwd=work,
            env={"FERRETDB_TELEMETRY": "disable", "DO_NOT_TRACK": "1"},
            log=self._log_file(work),
        )
        wait_until(lambda: self._read_pid(work) is not None, self.start_seconds)

    def _healthy(self) -> bool:
        # It listens once it can answer.
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port or 0), timeout=1),
        ):
            return True
        return False

    def _pid_file(self, work: Path) -> Path:
        return work / "ferretdb.pid"


def build() -> Path:
    """Path of the server's program, built at the first call on this machine."""
    folder = cache_dir() / f"ferretdb-{VERSION}"
    program = folder / "ferretdb"
    with locked("ferretdb"):
        if program.exists():
            return program
        go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
        if go is None:
            install_debian_package("golang-go")
            go = shutil.which("go")
        if go is None:
            raise ServerMissing("building FerretDB needs Go 1.22 or newer (Debian: golang-go)")
        folder.mkdir(exist_ok=True)
        (folder / "go.mod").write_text(GO_MOD)
        (folder / "main.go").write_text(MAIN)
        # Under another name first: a build that was killed leaves no program.
        done = subprocess.run(
            [go, "build", "-o", "building", "."],
            cwd=folder,
            env={**os.environ, "GOFLAGS": "-mod=mod"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BUILD_SECONDS,
        )
        if done.returncode != 0:
            end = "\n".join(done.stdout.splitlines()[-15:])
            raise ServerMissing(f"FerretDB could not be built:\n{end}")
        (folder / "building").rename(program)
        return program
