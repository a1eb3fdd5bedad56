"""python -m tests.servers elasticsearch|opensearch|... start|stop --state DIR [--port N]."""

from __future__ import annotations

import argparse
import sys

from tests.servers import (
    ElasticsearchServer,
    FerretdbServer,
    OpenSearchServer,
    PostgresServer,
    ServerFailed,
    ServerMissing,
)

SERVERS = {
    server.name: server
    for server in (ElasticsearchServer, OpenSearchServer, PostgresServer, FerretdbServer)
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description=__doc__)
    parser.add_argument("server", choices=sorted(SERVERS))
    parser.add_argument("action", choices=["start", "stop"])
    parser.add_argument("--state", required=True, metavar="DIR", help="keeps NAME.pid for stop")
    parser.add_argument("--port", type=int, help="default: a free one")
    options = parser.parse_args()
    kind = SERVERS[options.server]
    try:
        if options.action == "start":
            print(kind(options.state, port=options.port).start())
        else:
            kind.attach(options.state).stop()
    except (ServerMissing, ServerFailed) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
