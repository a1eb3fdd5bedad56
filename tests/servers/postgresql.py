"""PostgreSQL from Debian's package: a private cluster in a folder of its own."""

from __future__ import annotations

import contextlib
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

SUPERUSER = "postgres"


class PostgresServer(Server):
    """A cluster on 127.0.0.1; `url` is its database `postgres`, open to the superuser."""

    name = "postgresql"
    start_seconds = 60
    stop_signal = signal.SIGINT  # "fast": sessions are cut, data is written

    @property
    def url(self) -> str:
        return self.database_url("postgres")

    def database_url(self, database: str) -> str:
        return f"postgresql://{SUPERUSER}@127.0.0.1:{self.port}/{database}"

    def create_database(self, database: str, *options: str) -> str:
        """Create a database and give its URL.

        :param options: more of createdb's.
        """
        command = ["createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", SUPERUSER]
        self._run(*command, *options, database)
        return self.database_url(database)

    def drop_database(self, database: str) -> None:
        """Drop a database, cutting the sessions that it still has."""
        command = ["dropdb", "--force", "--if-exists", "-h", "127.0.0.1", "-p", str(self.port)]
        self._run(*command, "-U", SUPERUSER, database)

    def _run(self, program: str, *arguments: str) -> str:
        assert self.work is not None, "the server is not running"
        done = run_as_server_user([install_package() / program, *arguments], cwd=self.work)
        if done.returncode != 0:
            raise ServerFailed(f"{program} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def _install(self) -> None:
        install_package()

    def _create(self, work: Path) -> None:
        options = ["-A", "trust", "-U", SUPERUSER, "--encoding=UTF8", "--locale=C.UTF-8"]
        # The data outlives a killed process without fsync; only a power cut would hurt it.
        self._run("initdb", "-D", str(work / "data"), *options, "--no-sync")

    def _launch(self, work: Path) -> None:
        self._forget_killed(work)
        settings = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= "
            "-c fsync=off -c max_connections=200 -c max_prepared_transactions=20"
        )
        wait = ["--wait", "--timeout", f"{self.start_seconds:.0f}"]
        command = [install_package() / "pg_ctl", "start", *wait, "-D", work / "data"]
        log = self._log_file(work)

        done = run_as_server_user([*command, "-o", settings], cwd=work, log=log)
        if done.returncode != 0:
            raise ServerFailed(f"postgresql did not start:\n{self.log}")

    def _forget_killed(self, work: Path) -> None:
        """Remove the pid file of a killed server once its children have let go of the data.

        The server would do so itself, unless the killed process is still a zombie: then it takes
        that for a running server.
        """
        pid_file = self._pid_file(work)
        if not pid_file.exists():
            return
        if not wait_until(lambda: not _processes_in(work / "data"), self.start_seconds):
            raise ServerFailed("a killed postgresql left processes that do not end")
        pid_file.unlink()

    def _healthy(self) -> bool:
        assert self.work is not None
        command = [install_package() / "pg_isready", "-q", "-d", self.url]
        return run_as_server_user(command, cwd=self.work).returncode == 0

    def _pid_file(self, work: Path) -> Path:
        return work / "data" / "postmaster.pid"


def _processes_in(folder: Path) -> list[int]:
    """The processes whose working directory is `folder`, as it is of all of PostgreSQL's."""
    pids = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink() == folder:
                pids.append(int(process.name))
    return pids


def install_package() -> Path:
    """The folder of PostgreSQL's programs; root installs Debian's package when it is missing."""
    bin_folder = _find_bin()
    if bin_folder is None:
        install_debian_package("postgresql")
        bin_folder = _find_bin()
    if bin_folder is None:
        raise ServerMissing("Debian's package postgresql has no /usr/lib/postgresql/*/bin/initdb")
    return bin_folder


def _find_bin() -> Path | None:
    programs = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(programs, key=lambda path: float(path.parts[-3]), default=None)
    if newest is not None:
        return newest.parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None
