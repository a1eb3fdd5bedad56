"""MariaDB from Debian's package: a private server in a folder of its own."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

from tests.servers.base import (
    Server,
    ServerFailed,
    ServerMissing,
    install_debian_package,
    run_as_server_user,
    wait_until,
)


class MariadbServer(Server):
    """A server on 127.0.0.1, open to its user root without a password."""

    name = "mariadb"
    start_seconds = 60
    stop_signal = signal.SIGTERM

    @property
    def url(self) -> str:
        return self.database_url("mysql")

    def database_url(self, database: str) -> str:
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/{database}?charset=utf8mb4"

    def create_database(self, database: str) -> str:
        """Create a database and give its URL."""
        self._client(f"CREATE DATABASE {database} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
        return self.database_url(database)

    def _client(self, statement: str) -> None:
        assert self.work is not None, "the server is not running"
        command = ["mariadb", "--no-defaults", "--protocol=tcp", "-h", "127.0.0.1", "-u", "root"]
        done = run_as_server_user([*command, f"-P{self.port}", "-e", statement], cwd=self.work)
        if done.returncode != 0:
            raise ServerFailed(f"mariadb ended with {done.returncode}:\n{done.stdout}")

    def _install(self) -> None:
        install_package()

    def _create(self, work: Path) -> None:
        command = ["mariadb-install-db", "--no-defaults", f"--datadir={work / 'data'}"]
        method = "--auth-root-authentication-method=normal"
        done = run_as_server_user([*command, method, "--skip-test-db"], cwd=work)
        if done.returncode != 0:
            raise ServerFailed(f"mariadb-install-db ended with {done.returncode}:\n{done.stdout}")

    def _launch(self, work: Path) -> None:
        # The data outlives a killed process without the flushes; only a power cut would hurt it.
        options = [
            f"--datadir={work / 'data'}",
            f"--socket={work / 'socket'}",
            f"--pid-file={self._pid_file(work)}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--innodb-flush-log-at-trx-commit=2",
        ]
        # Returns once the server is in the background: it is no daemon by itself.
        run_as_server_user(
            ["sh", "-c", 'exec setsid "$@" &', "sh", program(), "--no-defaults", *options],
            cwd=work,
            log=self._log_file(work),
        )
        wait_until(lambda: self._read_pid(work) is not None, self.start_seconds)

    def _healthy(self) -> bool:
        try:
            self._client("SELECT 1")
        except ServerFailed:
            return False
        return True

    def _pid_file(self, work: Path) -> Path:
        return work / "mariadb.pid"


def program() -> str:
    """Path of the server's program, '' when it is not here."""
    return shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin") or ""


def install_package() -> None:
    """Root installs Debian's package when it is missing."""
    if not program():
        install_debian_package("mariadb-server")
    if not program():
        raise ServerMissing("Debian's package mariadb-server has no mariadbd")
