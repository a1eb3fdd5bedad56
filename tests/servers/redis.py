"""Redis from Debian's package: a private server, in memory alone."""

from __future__ import annotations

import contextlib
import shutil
import socket
from pathlib import Path

from tests.servers.base import (
    Server,
    ServerMissing,
    install_debian_package,
    run_as_server_user,
    wait_until,
)


class RedisServer(Server):
    """A server on 127.0.0.1, open to everybody; it keeps nothing when it ends."""

    name = "redis"
    start_seconds = 30

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _install(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            install_debian_package("redis-server")
            program = shutil.which("redis-server")
        if program is None:
            raise ServerMissing("Debian's package redis-server has no program of that name")
        self._program = program

    def _create(self, work: Path) -> None:
        """It needs nothing."""

    def _launch(self, work: Path) -> None:
        # Of one that was killed.
        self._pid_file(work).unlink(missing_ok=True)
        settings = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        files = ["--dir", work, "--pidfile", self._pid_file(work)]
        run_as_server_user(
            [self._program, "--port", str(self.port), "--daemonize", "yes", *settings, *files],
            cwd=work,
            log=self._log_file(work),
        )
        wait_until(lambda: self._read_pid(work) is not None, self.start_seconds)

    def _healthy(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port or 0), timeout=1) as connection,
        ):
            connection.sendall(b"PING\r\n")
            return connection.recv(5) == b"+PONG"
        return False

    def _pid_file(self, work: Path) -> Path:
        return work / "redis.pid"
