"""What every server here has in common: a private folder, a free port, a pid, an end."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

SERVER_USER = "searchtween"
STOP_SECONDS = 30
#: environment variable: more options of the Java machine that a server runs on
JAVA_OPTIONS = "NEFERTARI_SEARCH_JAVA_OPTIONS"
#: environment variable: the folder for servers' data, instead of one below the cache
DATA = "NEFERTARI_SEARCH_TEST_DATA"

S = TypeVar("S", bound="Server")


class ServerMissing(Exception):
    """The server, or a program it needs, is not on this machine and can't be fetched."""


class ServerFailed(Exception):
    """The server did not start or stop; the message ends with the tail of its log."""


def free_port() -> int:
    """A port on loopback that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cache_dir() -> Path:
    """The folder of fetched servers and running servers' data, reachable by the server's user.

    A checkout may lie where only its owner can go (/root, a private temporary folder), so servers
    never run out of it.
    """
    override = os.environ.get("NEFERTARI_SEARCH_CACHE")
    path = Path(override) if override else Path(f"/var/tmp/nefertari-search-tween-{os.getuid()}")
    path.mkdir(mode=0o755, parents=True, exist_ok=True)
    if not override and path.stat().st_uid != os.getuid():
        # The name can be guessed and /var/tmp is everyone's: never run what another user put there.
        raise ServerFailed(f"{path} belongs to another user; set NEFERTARI_SEARCH_CACHE")
    return path.resolve()


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """One process at a time in this block, however many test runs this machine has."""
    with (cache_dir() / f"{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def server_user() -> pwd.struct_passwd | None:
    """Who servers run as: nobody in particular (None, the caller), or for root a user made for it.

    Elasticsearch and PostgreSQL both refuse to run as root.
    """
    if os.getuid() != 0:
        return None
    with locked("user"), contextlib.suppress(KeyError):
        return pwd.getpwnam(SERVER_USER)
    with locked("user"):
        useradd = shutil.which("useradd") or "/usr/sbin/useradd"
        command = [useradd, "--system", "--no-create-home", "--shell", "/bin/sh", SERVER_USER]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except FileNotFoundError:
            raise ServerMissing("root needs useradd to run a server as another user") from None
        except subprocess.CalledProcessError as error:
            if error.returncode != 9:  # 9: another run created the user meanwhile
                raise ServerFailed(f"useradd {SERVER_USER}: {error.stderr.strip()}") from error
    return pwd.getpwnam(SERVER_USER)


def run_as_server_user(
    command: Sequence[object],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    timeout: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run `command` to its end as the servers' user; output goes to `log` or is captured.

    Output that a daemon inherits goes to a file: a pipe would be held open by it for ever.
    """
    user = server_user()
    options: dict[str, Any] = {}
    if user is not None:
        options = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": str(cwd),
        "LANG": "C.UTF-8",
        **(env or {}),
    }
    arguments = [str(part) for part in command]
    with contextlib.ExitStack() as stack:
        output = subprocess.PIPE if log is None else stack.enter_context(log.open("ab"))
        process = stack.enter_context(
            subprocess.Popen(
                arguments,
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal is for the caller alone
                text=True,
                **options,
            )
        )
        try:
            printed, _ = process.communicate(timeout=timeout)
        except BaseException as error:
            # With the command goes what it has started so far.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                message = f"{arguments[0]} did not end within {timeout:.0f} s"
                raise ServerFailed(message) from error
            raise
    return subprocess.CompletedProcess(arguments, process.returncode, printed or "")


def install_debian_package(package: str) -> None:
    """Let root install a Debian package; raise ServerMissing where that can't be."""
    if os.getuid() != 0 or shutil.which("apt-get") is None:
        raise ServerMissing(f"install Debian's package {package}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with locked("apt"):
        for command in (["apt-get", "update"], ["apt-get", "install", "-y", package]):
            done = subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            if done.returncode != 0:
                end = "\n".join(done.stdout.splitlines()[-15:])
                raise ServerMissing(f"{' '.join(command)} failed:\n{end}")


def wait_until(ready: Callable[[], bool], seconds: float, pause: float = 0.1) -> bool:
    """Poll `ready` until it is true (True) or the time is over (False)."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
    return True


def alive(pid: int) -> bool:
    """Whether the process runs. A zombie does not: what adopted it may never reap it.

    A killed process is a zombie as soon as its first thread is gone; its sockets and files stay
    open until the last one is.
    """
    process = Path(f"/proc/{pid}")
    try:
        state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        return state not in "ZX" or len(list((process / "task").iterdir())) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False


def terminate(pid: int, sig: int = signal.SIGTERM, seconds: float = STOP_SECONDS) -> None:
    """Ask a process to stop, wake it if it is frozen, and kill it if it does not stop in time."""
    for attempt in (sig, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, attempt)
            os.kill(pid, signal.SIGCONT)
        if wait_until(lambda: not alive(pid), seconds, pause=0.05):
            return
    raise ServerFailed(f"process {pid} outlived SIGKILL")


def tail(path: Path, lines: int = 40) -> str:
    """The last lines of a log without Java's stack frames, or a note that there is none."""
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return f"(no log at {path})"
    entries = [line for line in text.splitlines() if not line.lstrip().startswith("at ")]
    return "\n".join(entries[-lines:])


def java_options() -> list[str]:
    """Options of the Java machine, besides those that a server has of its own."""
    return os.environ.get(JAVA_OPTIONS, "").split()


class Server:
    """A server process on loopback with a folder of its own.

    `state_dir` is the caller's folder: it gets NAME.pid and NAME.json, by which another process can
    stop the server (`attach`). The server's own files (data, logs, configuration) lie in the cache,
    `self.work`, and live until `stop`.
    """

    name = "server"
    start_seconds: float = 90
    stop_signal = signal.SIGTERM

    def __init__(self, state_dir: str | Path | None = None, port: int | None = None) -> None:
        self._own_state = state_dir is None
        self.state_dir = Path(state_dir or tempfile.mkdtemp(prefix=f"{self.name}-state-"))
        self.port = port
        self.work: Path | None = None

    # -- what a server says of itself

    @property
    def url(self) -> str:
        raise NotImplementedError

    def _install(self) -> None:
        """Fetch the server when it is missing; raise ServerMissing when it can't be had."""
        raise NotImplementedError

    def _create(self, work: Path) -> None:
        """Lay out configuration and data in the new folder `work`."""
        raise NotImplementedError

    def _launch(self, work: Path) -> None:
        """Start the process, with its pid in the pid file."""
        raise NotImplementedError

    def _healthy(self) -> bool:
        raise NotImplementedError

    def _pid_file(self, work: Path) -> Path:
        raise NotImplementedError

    def _log_file(self, work: Path) -> Path:
        return work / "start.log"

    # -- the life of a server

    def start(self) -> str:
        """Start, or start again after a kill with the same port and data; gives the URL."""
        if self.running:
            return self.url
        self._install()
        if self.work is None:
            self.port = self.port or free_port()
            self.work = self._new_work()
            self._create(self.work)
        try:
            self._launch(self.work)
            self._wait_healthy()
        except BaseException:
            self.stop()
            raise
        self._remember()
        return self.url

    def stop(self) -> None:
        """Stop the process and remove the server's files. Stopping twice does no harm."""
        work, self.work = self.work, None
        if work is not None:
            pid = self._read_pid(work)
            if pid is not None and alive(pid):
                terminate(pid, self.stop_signal)
            shutil.rmtree(work, ignore_errors=True)
        for suffix in ("pid", "json"):
            with contextlib.suppress(FileNotFoundError):
                (self.state_dir / f"{self.name}.{suffix}").unlink()
        if self._own_state:
            shutil.rmtree(self.state_dir, ignore_errors=True)

    def kill(self, sig: int = signal.SIGKILL) -> None:
        """Send a signal, as a fault would. After SIGKILL the process is gone, its data stays."""
        pid = self.pid
        if pid is None:
            raise ServerFailed(f"{self.name} is not running")
        os.kill(pid, sig)
        if sig == signal.SIGKILL and not wait_until(lambda: not alive(pid), STOP_SECONDS):
            raise ServerFailed(f"{self.name} (pid {pid}) outlived SIGKILL")

    def restart(self) -> str:
        """Stop the process if it runs and start it on the same port with the same data."""
        pid = self.pid
        if pid is not None:
            terminate(pid, self.stop_signal)
        return self.start()

    def __enter__(self: S) -> S:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The running server's process, or None."""
        pid = self._read_pid(self.work) if self.work is not None else None
        return pid if pid is not None and alive(pid) else None

    @property
    def running(self) -> bool:
        return self.pid is not None

    @property
    def log(self) -> str:
        """The tail of the server's log."""
        return tail(self._log_file(self.work)) if self.work is not None else ""

    # -- from another process

    @classmethod
    def attach(cls: type[S], state_dir: str | Path) -> S:
        """The server that another process started with this state directory."""
        path = Path(state_dir) / f"{cls.name}.json"
        try:
            state = json.loads(path.read_text())
        except FileNotFoundError:
            raise ServerMissing(f"no {cls.name} was started with {state_dir}") from None
        server = cls(state_dir, port=state["port"])
        server.work = Path(state["work"])
        return server

    def _remember(self) -> None:
        self.state_dir.mkdir(parents=True, exist_ok=True)
        state = {"port": self.port, "work": str(self.work), "url": self.url}
        (self.state_dir / f"{self.name}.json").write_text(json.dumps(state) + "\n")
        (self.state_dir / f"{self.name}.pid").write_text(f"{self.pid}\n")

    # -- parts

    def _new_work(self) -> Path:
        parent = Path(os.environ.get(DATA) or cache_dir() / "run")
        parent.mkdir(mode=0o755, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir=parent))
        user = server_user()
        if user is not None:
            os.chown(work, user.pw_uid, user.pw_gid)
            reachable = run_as_server_user(["test", "-x", work], cwd=Path("/"))
            if reachable.returncode != 0:
                shutil.rmtree(work)
                raise ServerFailed(
                    f"the user {user.pw_name} can't reach {work}; "
                    "set NEFERTARI_SEARCH_CACHE to a folder that every user can enter"
                )
        return work

    def _read_pid(self, work: Path) -> int | None:
        try:
            return int(self._pid_file(work).read_text().split()[0])
        except (FileNotFoundError, IndexError, ValueError):
            return None

    def _wait_healthy(self) -> None:
        # A process that ended on its own ends the wait too.
        wait_until(lambda: not self.running or self._healthy(), self.start_seconds)
        if not (self.running and self._healthy()):
            raise ServerFailed(f"{self.name} did not start:\n{self.log}")
