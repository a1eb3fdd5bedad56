"""An application under pserve on a free port, as a user would start it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from tests.servers.base import ServerFailed, free_port, tail, terminate, wait_until


class Pserve:
    """`pserve INI http_port=N [key=value ...]`; the ini takes its port as %(http_port)s."""

    start_seconds = 60

    def __init__(
        self,
        ini_path: str | Path,
        *,
        python: str = sys.executable,
        variables: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
        port: int | None = None,
        cwd: str | Path | None = None,
    ) -> None:
        self.ini_path = Path(ini_path)
        self.python = python
        self.port = port or free_port()
        self.cwd = cwd
        self.variables = {**(variables or {}), "http_port": str(self.port)}
        self.env = {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})}
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = Path(tempfile.mkstemp(prefix="pserve-", suffix=".log")[1])
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Start the application and give its URL once it answers, whatever it answers."""
        command = [self.python, "-m", "pyramid.scripts.pserve", str(self.ini_path)]
        command += [f"{key}={value}" for key, value in self.variables.items()]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.cwd,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal is for the caller alone
            )
        wait_until(lambda: not self.running or self._answers(), self.start_seconds)
        if not (self.running and self._answers()):
            message = f"pserve {self.ini_path} did not answer:\n{self.log}"
            self.stop()
            raise ServerFailed(message)
        return self.url

    def stop(self) -> None:
        """Stop the application and remove its log."""
        process, self._process = self._process, None
        if process is not None:
            if process.poll() is None:
                terminate(process.pid)
            process.wait()
        self._log.unlink(missing_ok=True)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What the application has printed, its last 200 lines."""
        return tail(self._log, lines=200)

    def __enter__(self) -> Pserve:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url, timeout=10):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
