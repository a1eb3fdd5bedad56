"""Run the application in its own process, fill its database and send requests."""

from __future__ import annotations

import ast
import http.client
import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.apps.private_fields import INI, TABLES
from tests.servers.pserve import Pserve
from tests.support.apps import backend_and_hosts
from tests.support.forked import run_python
from tests.support.paths import TOP

# Nothing is written while mirrors are built here, so there are no older claims to wait for.
PROGRAM = (
    "-c",
    "from nefertari_search_tween.indexing import rebuild; rebuild.SETTLE_SECONDS = 0; "
    "from nefertari_search_tween.scripts.main import main; main()",
)
#: headers in which two responses to the same request may differ
OF_THE_MOMENT = {"Date", "Expires", "Last-Modified", "Server-Timing", "Content-Length", TABLES}
_MOMENT = re.compile(r'"(timestamp|took)": ("[^"]*"|[0-9]+)')


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def lasting(self) -> tuple[Any, ...]:
        """The whole response without its time-dependent parts."""
        headers = {name: each for name, each in self.headers.items() if name not in OF_THE_MOMENT}
        return self.status, headers, _MOMENT.sub(r'"\1": 0', self.text)


class Club:
    """One database and one set of mirrors, and the process that serves them.

    :param url: of the backend, see `tests.support.apps.backend_and_hosts`.
    :param ini: text of the ini file.
    :param variables: of the ini file.
    """

    def __init__(
        self, folder: Path, url: str, prefix: str, ini: str = INI, **variables: str
    ) -> None:
        self.file = folder / "members.sqlite"
        self.ini = folder / "members.ini"
        self.ini.write_text(ini)
        backend, hosts = backend_and_hosts(url)
        self.variables = {
            "database": f"sqlite:///{self.file}",
            "backend": backend,
            "elasticsearch_hosts": hosts,
            "index_name": prefix,
            **variables,
        }
        self.environment = {**os.environ, "PYTHONPATH": str(TOP), "PYTHONWARNINGS": "ignore"}
        self.server: Any = None
        self.connection: Any = None
        self.writer: Any = None

    def start(self, **variables: str) -> None:
        self.stop()
        options = {**self.variables, **variables}
        self.server = Pserve(self.ini, variables=options, env=self.environment)
        self.server.start()

    def stop(self) -> None:
        if self.writer is not None:
            # It exits at the end of its input.
            self.writer.communicate(timeout=60)
            self.writer = None
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        if self.server is not None:
            self.server.stop()
            self.server = None

    def rebuild(self) -> None:
        """Build all mirrors from the database."""
        words = [f"{name}={value}" for name, value in self.variables.items()]
        done = run_python(*PROGRAM, "rebuild", self.ini, *words, "--json", env=self.environment)
        assert done.returncode == 0, done.stdout + done.stderr

    def write(self, changes: list[tuple[str, Any, dict[str, Any]]]) -> None:
        """Create or change objects; see `tests.apps.private_fields.writing`."""
        if self.writer is None:
            words = [f"{name}={value}" for name, value in self.variables.items()]
            self.writer = subprocess.Popen(
                [sys.executable, "-m", "tests.apps.private_fields.writing", str(self.ini), *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=self.environment,
            )
        self.writer.stdin.write(json.dumps(changes) + "\n")
        self.writer.stdin.flush()
        assert self.writer.stdout.readline() == "written\n", "see what it wrote to stderr"

    def sql(self, statement: str, *values: Any) -> list[Any]:
        with sqlite3.connect(self.file, timeout=30) as connection:
            return connection.execute(statement, values).fetchall()

    def ask(
        self, path: str, caller: str = "", method: str = "GET", body: Any = None, **headers: str
    ) -> Answer:
        """Send one request.

        :param caller: name of the member, whose token is `token-NAME`.
        """
        # URLs in a response must not depend on the port.
        headers.setdefault("Host", "members.example")
        if caller:
            headers["Authorization"] = f"ApiKey {caller}:token-{caller}"
        if body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(body)
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        try:
            self.connection.request(method, path, body=body, headers=headers)
            response = self.connection.getresponse()
            text = response.read().decode()
        except (OSError, http.client.HTTPException):
            # The broken connection is of no use to the next request.
            self.connection.close()
            self.connection = None
            raise
        return Answer(response.status, dict(response.getheaders()), text)


class Rules(NamedTuple):
    """The visible fields of a model."""

    fields: tuple[str, ...]
    public: frozenset[str]
    auth: frozenset[str]

    def visible(self, caller: str) -> frozenset[str]:
        return self.auth if caller else self.public


def rules_of_models() -> dict[str, Rules]:
    """Return the rules of models.py, which only the application's process can import."""
    tree = ast.parse((Path(__file__).parent / "models.py").read_text(encoding="utf-8"))
    rules = {}
    for cls in tree.body:
        if not isinstance(cls, ast.ClassDef):
            continue
        lists, fields = {}, []
        for each in cls.body:
            if not isinstance(each, ast.Assign) or not isinstance(each.targets[0], ast.Name):
                continue
            name = each.targets[0].id
            if name.startswith("_"):
                lists[name] = ast.literal_eval(each.value) if name.endswith("_fields") else None
            else:
                fields.append(name)
        hidden = frozenset(lists.get("_hidden_fields") or ())
        rules[cls.name] = Rules(
            tuple(fields),
            frozenset(lists.get("_public_fields") or ()) - hidden,
            frozenset(lists.get("_auth_fields") or ()) - hidden,
        )
    return rules
