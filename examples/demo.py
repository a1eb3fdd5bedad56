"""The film catalogue from nothing: search backend, database, mirror, application.

    python examples/demo.py            stays up until Ctrl-C, with addresses to try
    python examples/demo.py --check    sends requests, checks the answers, leaves nothing behind

The mirrors live in files, for which nothing but Python is needed; `--backend elasticsearch` (or
`opensearch`) starts a server, or uses a running one that ELASTICSEARCH_HOSTS=host:port names.
`make demo` and `make demo-check` build the environment first, and take BACKEND=... too. Everything
written goes to a temporary folder.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
import uuid
from contextlib import ExitStack
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent
ROOT = EXAMPLES.parent
sys.path[:0] = [str(ROOT), str(EXAMPLES)]

import demo_check  # noqa: E402 (found through the path set above, as are the servers)

from tests.servers import (  # noqa: E402
    ElasticsearchServer,
    OpenSearchServer,
    Pserve,
    Server,
    ServerFailed,
    ServerMissing,
    free_port,
)

INI = ROOT / "development.ini"
SERVERS: dict[str, type[Server]] = {
    "elasticsearch": ElasticsearchServer,
    "opensearch": OpenSearchServer,
}

ADDRESSES = """\
  {url}/films?_limit=3                         answered by the mirror (header X-Search-Engine)
  {url}/films?_limit=3&_search=false           the same, answered by the database
  {url}/films?year=1972&_sort=-meter,title     filters and sorting
  {url}/films?title=The%20Godfather            an exact filter
  {url}/films?_search=true&q=godfather         full text over every field
  {url}/films?_search=true&title=%22the%20third%20man%22
  {url}/films?_search=true&q=director.name:kurosawa
  {url}/films?oscars=0&_count                  how many
  {url}/people?name=Woody%20Allen              one director
  {url}/genres                                 a small collection
"""


def main() -> int:
    """Run the demo; the exit code is 0 when it came up and (with --check) answered right."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="check answers and stop")
    parser.add_argument(
        "--port", type=int, help="of the application (default: 6543, or a free one)"
    )
    parser.add_argument(
        "--backend",
        choices=["embedded", *SERVERS],
        default="embedded",
        help="where mirrors live (default: embedded, in files)",
    )
    options = parser.parse_args()
    # A demo that is told to end, by whatever, ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # SQLAlchemy's remark on SQLite's decimals: true, and of no use to who looks at a demo.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:Dialect sqlite")
    try:
        with ExitStack() as stack:
            application = bring_up(stack, options.backend, options.port)
            if options.check:
                return demo_check.run(application.url)
            addresses = ADDRESSES.format(url=application.url)
            say(f"The film catalogue is up. Ctrl-C stops it.\n\n{addresses}")
            while application.running:
                time.sleep(0.5)
            raise ServerFailed(f"the application ended:\n{application.log}")
    except KeyboardInterrupt:
        say("stopped")
    except (ServerFailed, ServerMissing) as error:
        say(f"{type(error).__name__}: {error}")
        return 1
    except subprocess.CalledProcessError as error:
        say(f"{error.cmd[0]} failed with {error.returncode}")
        return 1
    return 0


def bring_up(stack: ExitStack, backend: str, port: int | None) -> Pserve:
    """Start everything; `stack` stops it in the opposite order. Gives the running application."""
    state = Path(tempfile.mkdtemp(prefix="films-demo-"))
    stack.callback(shutil.rmtree, state, ignore_errors=True)

    variables = {"database": str(state / "films.sqlite"), "index_name": "films"}
    if backend == "embedded":
        variables["backend"] = f"embedded:{state / 'search'}"
        say(f"Search: in files in {state / 'search'}, no server")
    else:
        variables["backend"] = backend
        variables.update(server(stack, state, backend))
    settings = [f"{key}={value}" for key, value in variables.items()]

    # Its writes reach the mirrors, as all do: nothing has to be built.
    run("films-load", str(INI), *settings)

    application = Pserve(INI, variables=variables, port=port or default_port())
    return stack.enter_context(application)


def server(stack: ExitStack, state: Path, backend: str) -> dict[str, str]:
    """A search server, the user's own or one of ours; gives the settings that lead to it."""
    hosts = os.environ.get("ELASTICSEARCH_HOSTS")
    if hosts:
        # Someone else's server: names of our own there, and nothing of them stays.
        index_name = f"films-demo-{uuid.uuid4().hex[:8]}"
        stack.callback(delete_indices, hosts, index_name)
        return {"elasticsearch_hosts": hosts, "index_name": index_name}
    say(f"Search: starting {backend} (the first time it is fetched, up to 90 MB)")
    started = stack.enter_context(SERVERS[backend](state))
    say(f"Search: {backend} at {started.url}")
    return {"elasticsearch_hosts": started.url.partition("//")[2]}


def run(script: str, *arguments: str) -> None:
    """Run a console script of this environment, its output left to the terminal."""
    say(f"$ {script} {' '.join(arguments)}")
    subprocess.run([str(Path(sysconfig.get_path("scripts")) / script), *arguments], check=True)


def default_port() -> int:
    """The ini's own port, 6543, or a free one when that is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 6543))
        except OSError:
            return free_port()
    return 6543


def delete_indices(hosts: str, prefix: str) -> None:
    """Delete the demo's indices on a server that the demo did not start."""
    host = hosts.partition(",")[0]
    url = host if "://" in host else f"http://{host}"
    with urllib.request.urlopen(f"{url}/_cat/indices/{prefix}*?h=index", timeout=30) as answer:
        names = answer.read().decode().split()
    for name in names:
        request = urllib.request.Request(f"{url}/{name}", method="DELETE")
        with urllib.request.urlopen(request, timeout=30):
            pass


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
